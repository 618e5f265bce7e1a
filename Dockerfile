# syntax=docker/dockerfile:1
# Base image: the tag is for people, the digest decides; renew both together.
ARG PYTHON_IMAGE=python:3.13.15-slim-bookworm@sha256:ed86c82274b3c69b52fb5820f358f0bd7df0b603332063cb5c6e32bd220c3e6e

FROM ${PYTHON_IMAGE} AS build
# Which packages: run, or grpc for the doors that speak gRPC, or tracing for these and spans.
ARG LOCK=run
WORKDIR /build
RUN python -m venv /opt/sidecar
COPY lock/*.txt ./
RUN for lock in ${LOCK}; do \
      /opt/sidecar/bin/pip install --no-cache-dir --no-deps --require-hashes -r "${lock}.txt" || exit; \
    done \
    && python -m venv /opt/build \
    && /opt/build/bin/pip install --no-cache-dir --no-deps --require-hashes -r build.txt
COPY pyproject.toml README.md LICENSE ./
COPY sidecar ./sidecar
RUN /opt/build/bin/python -m hatchling build --target wheel --directory /dist \
    && /opt/sidecar/bin/pip install --no-cache-dir --no-deps --no-index /dist/*.whl \
    && /opt/sidecar/bin/python -m compileall -q /opt/sidecar/lib
# BUILD=compiled: the hot modules in C, for two fifths less of what the sidecar itself spends on a
# request. The compiler stays behind in this stage.
ARG BUILD=python
COPY lock/accelerate.txt deploy/accelerate.sh deploy/accelerated.txt ./
# hadolint ignore=DL3008
RUN if [ "${BUILD}" = compiled ]; then \
      apt-get update && apt-get install -y --no-install-recommends gcc libc6-dev \
      && rm -rf /var/lib/apt/lists/* \
      && /opt/build/bin/pip install --no-cache-dir --no-deps --require-hashes -r accelerate.txt \
      && sh accelerate.sh /opt/build/bin/mypyc /opt/sidecar/bin/python \
           "$(/opt/sidecar/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')"; \
    fi

FROM ${PYTHON_IMAGE}
# The admin port is set here, over the settings file, so that the health check knows it too.
# The root file system may be read-only: nothing is written but metrics of several workers (/tmp)
# and, where a volume is given for them, the key snapshot and how far the store was seen.
ENV PATH=/opt/sidecar/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    SIDECAR_ADMIN__PORT=9090
COPY --from=build /opt/sidecar /opt/sidecar
COPY deploy/healthcheck.py /opt/sidecar/healthcheck.py
USER 65532:65532
WORKDIR /
EXPOSE 8080 9090
HEALTHCHECK --interval=10s --timeout=3s --start-period=15s --retries=3 \
    CMD ["python", "/opt/sidecar/healthcheck.py"]
ENTRYPOINT ["python", "-m", "sidecar"]
CMD ["run", "--config", "/etc/sidecar/sidecar.yaml"]
