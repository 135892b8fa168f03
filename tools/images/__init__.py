"""Container images of the platform: with docker, podman or buildah, or without any of them (`make images`)."""
