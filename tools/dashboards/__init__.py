"""Three Grafana dashboards as tables of panels."""
