# The images of Fleetbus: targets "orchestrator" and "agent". Needs BuildKit, which engines from 23.0 on use
# by themselves (DOCKER_BUILDKIT=1 before that).
#
# Build argument
#   PYTHON_IMAGE   an image with python3 (3.11 or later) and its venv module, of a C library that wheels
#                  exist for
# Build secrets, both optional, for hosts that reach a package index through a mirror or a proxy; they
# leave no trace in the image
#   pip-conf       a pip configuration file
#   ca             certificate authorities (PEM) that pip shall trust
ARG PYTHON_IMAGE=python:3.12-slim

FROM ${PYTHON_IMAGE} AS base
ENV PATH=/opt/fleetbus/bin:$PATH \
    PYTHONUNBUFFERED=1


FROM base AS packages
WORKDIR /source
RUN python3 -m venv /opt/fleetbus
COPY pyproject.toml requirements.lock README.md ./
COPY topics topics
COPY orchestrator orchestrator
COPY edge_agent edge_agent
COPY cli cli
COPY examples examples
COPY docker/install-locked.sh /usr/local/bin/install-locked


FROM packages AS orchestrator-packages
RUN --mount=type=secret,id=pip-conf --mount=type=secret,id=ca --mount=type=cache,target=/root/.cache/pip \
    install-locked orchestrator


FROM packages AS agent-packages
RUN --mount=type=secret,id=pip-conf --mount=type=secret,id=ca --mount=type=cache,target=/root/.cache/pip \
    install-locked


# The same without pip's own folders, sources and caches; runs as a user that owns nothing but its data.
FROM base AS program
RUN mkdir /data /manifests && chown 10001:10001 /data /manifests
ENV HOME=/data \
    FLEETBUS_DATA=/data
USER 10001:10001
VOLUME /data
# The program touches this file at least every ten seconds while its loop turns.
HEALTHCHECK --interval=10s --timeout=5s --start-period=20s --retries=3 CMD ["python3", "-c", \
  "import os, sys, time; sys.exit(time.time() - os.stat(os.environ['FLEETBUS_DATA'] + '/alive').st_mtime > 30)"]


FROM program AS orchestrator
COPY --from=orchestrator-packages /opt/fleetbus /opt/fleetbus
ENTRYPOINT ["fleetbus-orchestrator"]


FROM program AS agent
ENV FLEETBUS_MANIFESTS=/manifests
COPY --from=agent-packages /opt/fleetbus /opt/fleetbus
VOLUME /manifests
ENTRYPOINT ["fleetbus-agent"]
