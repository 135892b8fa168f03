"""The platform on a Kubernetes cluster: `make up`, `make down`, and the tests that need a cluster."""
