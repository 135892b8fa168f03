"""The platform in a Kubernetes cluster: what its jobs make, and the tables the chart is generated from."""
