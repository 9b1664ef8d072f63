"""The benchmark: vrrpd beside keepalived, or any third daemon, in the same namespaces with the same keepalived.conf.

``python -m bench`` runs it. Black box: it starts programs, makes them fail and reads the wire; it imports ``vrrpd.lab``
and nothing of the daemon (``test_micro`` does: it is the white part). ``wire`` holds what the figures mean.
"""
