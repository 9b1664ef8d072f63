# vrrpd as a drop-in for the keepalived ipfailover image. Built by `make image`; docs/image.md says what is inside.

FROM debian:trixie-slim AS build
RUN apt-get update \
 && apt-get install -y --no-install-recommends python3 python3-venv \
 && python3 -m venv /build/venv
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_ROOT_USER_ACTION=ignore
# What changes rarely comes first: a change of vrrpd itself builds in seconds and fetches nothing.
COPY pyproject.toml /build/
RUN cd /build \
 && python3 -c 'import tomllib; p = tomllib.load(open("pyproject.toml", "rb")); print(*p["project"]["dependencies"], sep="\n", file=open("dependencies", "w")); print(*p["build-system"]["requires"], sep="\n", file=open("tools", "w"))' \
 && venv/bin/pip install --requirement tools \
 && venv/bin/pip install --no-compile --target dependencies.d --requirement dependencies \
 && rm -rf dependencies.d/bin
COPY . /build/source
RUN /build/venv/bin/pip install --no-compile --no-deps --no-build-isolation --target /build/vrrpd.d /build/source \
 && rm -rf /build/vrrpd.d/bin
# Its own start script: pip's would name this stage's interpreter. -I: neither PYTHONPATH nor the directory that a
# script happens to run in can put another module in front. Process 1 loses a SIGTERM that nobody has asked for yet: it
# is held back until the daemon listens, which then ends in good order.
RUN printf '%s\n' '#!/usr/bin/python3 -I' 'import signal' 'import sys' \
        'if sys.argv[1:2] == ["run"]:' '    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})' \
        'from vrrpd.__main__ import main' 'sys.exit(main())' >/build/vrrpd \
 && chmod 755 /build/vrrpd

FROM debian:trixie-slim AS packed
# What the scripts of ipfailover's users rely on: bash, coreutils, grep and sed are in the base.
RUN apt-get update \
 && apt-get install -y --no-install-recommends \
        python3-minimal libpython3-stdlib \
        curl gawk iproute2 ipset iptables kmod ncat net-tools nftables procps psmisc \
 && apt-get clean \
 && rm -rf /var/lib/apt/lists/* /var/cache/* /var/log/* \
 && find /usr/share/doc -type f ! -name copyright -delete \
 && rm -rf /usr/share/man /usr/share/info /usr/share/locale /usr/share/bash-completion
# Compiled here: a read-only root file system keeps Python from doing it, at every start.
COPY --from=build /build/dependencies.d /usr/local/lib/python3.13/dist-packages
RUN python3 -m compileall -q -j 0 --invalidation-mode unchecked-hash \
        /usr/lib/python3.13 /usr/local/lib/python3.13/dist-packages \
# The process is then called keepalived: the manuals' liveness probe is `pgrep keepalived`.
 && ln -s vrrpd /usr/local/bin/keepalived \
# One manual mounts the node at /host, another at /hosts.
 && mkdir -p /host /etc/keepalive /etc/keepalived /etc/sysconfig /usr/lib/modules \
 && ln -s /host /hosts \
# An arbitrary user id of OpenShift is in group 0.
 && chgrp 0 /etc/keepalived && chmod 2775 /etc/keepalived
COPY --from=build /build/vrrpd /usr/local/bin/vrrpd
COPY --from=build /build/vrrpd.d /usr/local/lib/python3.13/dist-packages
RUN python3 -m compileall -q --invalidation-mode unchecked-hash /usr/local/lib/python3.13/dist-packages/vrrpd

FROM packed
ARG VERSION=unknown
ARG REVISION=unknown
LABEL name="vrrpd" \
      version="$VERSION" \
      summary="VRRP IP failover for OpenShift and Kubernetes" \
      description="Keeps virtual IP addresses on the nodes of a cluster: takes the place of the keepalived ipfailover image." \
      maintainer="the vrrpd authors" \
      io.k8s.display-name="vrrpd IP failover" \
      io.k8s.description="Keeps virtual IP addresses on the nodes of a cluster: takes the place of the keepalived ipfailover image." \
      io.openshift.tags="openshift,ha,ip,failover,vrrp,keepalived" \
      org.opencontainers.image.title="vrrpd" \
      org.opencontainers.image.version="$VERSION" \
      org.opencontainers.image.revision="$REVISION" \
      org.opencontainers.image.licenses="Apache-2.0"
ENV VRRPD_PROCESS_NAME=keepalived
STOPSIGNAL SIGTERM
# Docker asks this; Kubernetes does not look at it and has probes of its own.
HEALTHCHECK --interval=30s --timeout=5s --start-period=15s CMD ["/usr/local/bin/vrrpd", "status", "--ready"]
ENTRYPOINT ["/usr/local/bin/keepalived"]
CMD ["run"]
