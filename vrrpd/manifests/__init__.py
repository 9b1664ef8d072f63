"""``vrrpd manifest``: the Kubernetes objects around an ipfailover pod, by the flags that ``oc adm ipfailover`` had.

Prints a ServiceAccount, a ConfigMap with the scripts, and a Deployment or DaemonSet. Talks to no cluster.
"""

from vrrpd.manifests.command import flag_parser, main

__all__ = ["flag_parser", "main"]
