# Two images from one file:
#   docker build --target flow   -t localhost/mintaka-flow:dev .   what runs in the pods of flows: Python, mintaka, the examples' extra
#   docker build --target server -t localhost/mintaka:dev .        operator and API
# Both run as a numeric non-root user on a root file system that cannot be written; all bytecode is compiled beforehand,
# because a pod that compiles at every start is slow to start.
ARG BASE=python:3.13-slim

# Every package of the lock file, checked against its hash. Later stages install from here and nowhere else.
FROM ${BASE} AS wheels
WORKDIR /build
RUN python3 -m venv /opt/pip && python3 -m venv --without-pip /opt/mintaka
ENV PATH=/opt/pip/bin:$PATH PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_ROOT_USER_ACTION=ignore
COPY requirements.lock ./
RUN pip wheel --quiet --require-hashes --no-deps --only-binary :all: --wheel-dir /wheels -r requirements.lock

# Dependencies come before the sources, so that a change of code does not install them anew.
FROM wheels AS dependencies
COPY pyproject.toml docker/install ./
RUN ./install && echo /opt/project > $(echo /opt/mintaka/lib/python3*/site-packages)/project.pth

FROM dependencies AS flow-dependencies
RUN ./install examples

FROM dependencies AS server-dependencies
RUN ./install operator server

# The project is apart from its dependencies, in a folder of its own that both images share: a change of code makes one small layer.
FROM dependencies AS project
RUN pip install --quiet --no-index --find-links /wheels hatchling
COPY README.md LICENSE ./
COPY sdk sdk
COPY operator operator
COPY api api
RUN pip wheel --quiet --no-deps --no-build-isolation --wheel-dir /dist . && ./install /dist

FROM ${BASE} AS runtime
RUN library=$(python3 -c 'import sysconfig; print(sysconfig.get_path("stdlib"))') \
 && python3 -m compileall -q -j 0 --invalidation-mode unchecked-hash -x '/(test|tests|idlelib|lib2to3|tkinter|turtledemo|ensurepip|site-packages|dist-packages)/' "$library"
# PIP_PYTHON: `pip install` in an image made from one of these installs where its flows look.
ENV PATH=/opt/mintaka/bin:/opt/project/bin:$PATH \
    VIRTUAL_ENV=/opt/mintaka \
    PIP_PYTHON=/opt/mintaka/bin/python \
    HOME=/tmp \
    USER=mintaka \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1
# A number is what runAsNonRoot can check. It has no entry in /etc/passwd: HOME and USER above stand for one.
USER 10001:10001

FROM runtime AS flow
LABEL org.opencontainers.image.title="mintaka-flow" org.opencontainers.image.licenses="Apache-2.0"
COPY --from=flow-dependencies /opt/mintaka /opt/mintaka
COPY --from=project /opt/project /opt/project
# Flows of an image of your own go here: docs/deployments.md.
WORKDIR /flow
CMD ["python", "-m", "mintaka.runner"]

FROM runtime AS server
LABEL org.opencontainers.image.title="mintaka" org.opencontainers.image.licenses="Apache-2.0"
COPY --from=server-dependencies /opt/mintaka /opt/mintaka
COPY --from=project /opt/project /opt/project
WORKDIR /tmp
CMD ["python", "-m", "mintaka_operator"]
