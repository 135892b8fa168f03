"""Every policy that is on by default, looked for in every object the chart makes, for each values file."""

from __future__ import annotations

from typing import Any

import pytest
from lykta_common.runtime import STOP_SECONDS

from tests.chart.conftest import Objects, objects_of, of_kind, pod_specs

API_JOBS = {"prepare", "cleanup"}
RUNNERS = ("Deployment", "StatefulSet")


def component(metadata: dict[str, Any]) -> str:
    """Return what a pod or object is part of."""
    return str(metadata["labels"]["app.kubernetes.io/component"])


def matches(selector: dict[str, str], labels: dict[str, str]) -> bool:
    """Say whether a label selector takes these labels."""
    return selector.items() <= labels.items()


def test_pods_are_restricted(objects: Objects) -> None:
    """Every pod fulfils the restricted Pod Security Standard, and its root file system is read-only."""
    for name, _, spec in pod_specs(objects):
        pod = spec["securityContext"]
        assert pod["runAsNonRoot"] is True, name
        assert pod["runAsUser"] > 0, name
        assert pod["seccompProfile"] == {"type": "RuntimeDefault"}, name
        assert not {"hostNetwork", "hostPID", "hostIPC"} & spec.keys(), name
        for container in [*spec["containers"], *spec.get("initContainers", [])]:
            context = container["securityContext"]
            assert context["allowPrivilegeEscalation"] is False, name
            assert context["privileged"] is False, name
            assert context["readOnlyRootFilesystem"] is True, name
            assert context["capabilities"] == {"drop": ["ALL"]}, name
            assert context["seccompProfile"] == {"type": "RuntimeDefault"}, name
            assert all("hostPort" not in port for port in container.get("ports", [])), name


def test_volumes_are_of_allowed_kinds_and_bounded(objects: Objects) -> None:
    """No pod mounts the host; scratch space has a bound; secrets are files that only the pod's group reads."""
    allowed = {"configMap", "emptyDir", "projected", "secret", "persistentVolumeClaim"}
    for name, _, spec in pod_specs(objects):
        for volume in spec["volumes"]:
            kinds = set(volume) - {"name"}
            assert kinds <= allowed, f"{name} {volume}"
            if "emptyDir" in volume:
                assert volume["emptyDir"]["sizeLimit"], f"{name} {volume}"
            for kind in kinds & {"secret", "projected"}:
                assert volume[kind]["defaultMode"] == 0o440, f"{name} {volume}"


def test_no_pod_has_a_token_but_the_jobs_that_make_secrets(objects: Objects) -> None:
    """No service account token is mounted; the two jobs that call the API ask for a short one themselves."""
    for name, metadata, spec in pod_specs(objects):
        assert spec["automountServiceAccountToken"] is False, name
        assert spec["enableServiceLinks"] is False, f"{name}: a Service's variables look like settings"
        tokens = [
            source["serviceAccountToken"]
            for volume in spec["volumes"]
            for source in volume.get("projected", {}).get("sources", [])
            if "serviceAccountToken" in source
        ]
        assert bool(tokens) == (component(metadata) in API_JOBS), name
        assert all(token["expirationSeconds"] <= 600 for token in tokens), name
    accounts = of_kind(objects, "ServiceAccount")
    assert all(account["automountServiceAccountToken"] is False for account in accounts.values())
    used = {spec["serviceAccountName"] for _, _, spec in pod_specs(objects)}
    assert set(accounts) - used <= {"demo-client"}, "an account that no pod uses"
    assert used <= set(accounts)


def test_roles_reach_secrets_of_the_namespace_only(objects: Objects) -> None:
    """No ClusterRole; the only roles are those of the two jobs, for Secrets, without wildcards."""
    assert not of_kind(objects, "ClusterRole", "ClusterRoleBinding")
    roles = of_kind(objects, "Role")
    assert {component(role["metadata"]) for role in roles.values()} == API_JOBS
    for role in roles.values():
        for rule in role["rules"]:
            assert rule["resources"] == ["secrets"]
            assert "*" not in rule["verbs"]


def test_everything_is_denied_by_default(objects: Objects) -> None:
    """One policy denies all traffic of every pod of the release, in both directions."""
    deny = of_kind(objects, "NetworkPolicy")["demo-deny-all"]["spec"]
    assert set(deny["policyTypes"]) == {"Ingress", "Egress"}
    assert not {"ingress", "egress"} & deny.keys()
    for name, metadata, _ in pod_specs(objects):
        assert matches(deny["podSelector"]["matchLabels"], metadata["labels"]), name


def test_every_pod_has_a_policy_that_names_its_neighbours(objects: Objects) -> None:
    """Each component has a policy of its own; no rule is open to everybody, and no caller comes by address."""
    policies = of_kind(objects, "NetworkPolicy")
    for name, metadata, _ in pod_specs(objects):
        own = [
            policy
            for key, policy in policies.items()
            if key != "demo-deny-all" and matches(policy["spec"]["podSelector"]["matchLabels"], metadata["labels"])
        ]
        assert len(own) == 1, name
        assert set(own[0]["spec"]["policyTypes"]) == {"Ingress", "Egress"}
        for rule in own[0]["spec"]["ingress"]:
            assert rule["from"], name
            assert rule["ports"], name
            assert all("ipBlock" not in peer for peer in rule["from"]), name
        for rule in own[0]["spec"]["egress"]:
            assert rule["to"], f"{name}: an egress rule without peers allows everything"
            assert rule["ports"], name
            assert all(peer for peer in rule["to"]), name


def test_who_calls_is_also_let_out(objects: Objects) -> None:
    """Where a component may be called by another on a port, the other may also go out to it, and the reverse."""
    ports = {
        component(item["metadata"]): {p["name"]: p["containerPort"] for p in spec["containers"][0].get("ports", [])}
        for item, spec in ((i, i["spec"]["template"]["spec"]) for i in objects if i["kind"] in RUNNERS)
    }
    into, out = set(), set()
    for policy in of_kind(objects, "NetworkPolicy").values():
        me = policy["spec"]["podSelector"]["matchLabels"].get("app.kubernetes.io/component")
        me = "client" if me == "toolbox" else me  # its pod carries the clients' label
        for rule in policy["spec"].get("ingress", []):
            for peer in rule["from"]:
                labels = peer.get("podSelector", {}).get("matchLabels", {})
                caller = "client" if "lykta.io/client" in labels else labels.get("app.kubernetes.io/component")
                into |= {(caller, me, ports[me][port["port"]]) for port in rule["ports"] if caller}
        for rule in policy["spec"].get("egress", []):
            for peer in rule["to"]:
                labels = peer.get("podSelector", {}).get("matchLabels", {})
                callee = labels.get("app.kubernetes.io/component")
                out |= {(me, callee, port["port"]) for port in rule["ports"] if callee}
    assert out <= into, f"may go out, but is not let in: {sorted(out - into)}"
    # A service may be open to a caller that has no need today; a pod that is no service has none at all.
    services = {"ingest", "analytics", "storage", "access-control", "audit", "client"}
    assert {pair for pair in into - out if not {pair[0], pair[1]} <= services} <= {("client", "nats", 4222)}


def test_only_named_components_leave_the_cluster(objects: Objects) -> None:
    """Addresses outside are reached by those alone who have business there, and never on every port."""
    allowed = {"ingest", "access-control", "prepare", "cleanup"}
    external = {"storage", "audit", "analytics", "setup", "client"}
    for policy in of_kind(objects, "NetworkPolicy").values():
        for rule in policy["spec"].get("egress", []):
            blocks = [peer["ipBlock"]["cidr"] for peer in rule["to"] if "ipBlock" in peer]
            if blocks:
                assert component(policy["metadata"]) in allowed | external
                assert all(isinstance(port["port"], int) for port in rule["ports"])


def test_analytics_reaches_neither_objects_nor_cameras() -> None:
    """The service that decodes has no way to footage, cameras or the outside."""
    policy = of_kind(objects_of("evaluation"), "NetworkPolicy")["demo-analytics"]["spec"]
    reached = {
        peer["podSelector"]["matchLabels"].get("app.kubernetes.io/component")
        for rule in policy["egress"]
        for peer in rule["to"]
        if "namespaceSelector" not in peer
    }
    assert reached == {"nats", "postgresql", "access-control"}


def test_every_component_has_a_budget_and_is_spread(objects: Objects) -> None:
    """Each Deployment and StatefulSet has a disruption budget that lets a drain go on, and spreads its pods."""
    budgets = of_kind(objects, "PodDisruptionBudget")
    for name, item in of_kind(objects, *RUNNERS).items():
        budget = budgets[name]["spec"]
        assert budget["maxUnavailable"] == 1
        assert budget["selector"]["matchLabels"] == item["spec"]["selector"]["matchLabels"]
        spec, own = item["spec"]["template"]["spec"], {"matchLabels": budget["selector"]["matchLabels"]}
        spread = [(c["topologyKey"], c["labelSelector"]) for c in spec["topologySpreadConstraints"]]
        assert spread == [("kubernetes.io/hostname", own)], "a node without a zone would be left out of a second one"
        apart = spec["affinity"]["podAntiAffinity"]["preferredDuringSchedulingIgnoredDuringExecution"]
        terms = [(t["podAffinityTerm"]["topologyKey"], t["podAffinityTerm"]["labelSelector"]) for t in apart]
        assert terms == [("topology.kubernetes.io/zone", own)]


def test_resources_are_asked_for(objects: Objects) -> None:
    """Every container asks for CPU and memory and has a memory limit; none has a CPU limit that throttles it."""
    for name, _, spec in pod_specs(objects):
        for container in spec["containers"]:
            resources = container["resources"]
            assert resources["requests"].keys() == {"cpu", "memory"}, name
            assert resources["limits"].keys() == {"memory"}, name


def test_everything_that_runs_is_probed(objects: Objects) -> None:
    """Startup, readiness and liveness of everything; of our services over gRPC health on the plain port."""
    services = {"ingest", "analytics", "storage", "access-control", "audit"}
    for item in of_kind(objects, *RUNNERS).values():
        container = item["spec"]["template"]["spec"]["containers"][0]
        probes = {kind: container[f"{kind}Probe"] for kind in ("startup", "readiness", "liveness")}
        if component(item["metadata"]) in services:
            assert all(probe["grpc"]["port"] == 7080 for probe in probes.values())
            assert probes["startup"]["grpc"]["service"] == "live"
            assert probes["liveness"]["grpc"]["service"] == "live"
            assert "service" not in probes["readiness"]["grpc"] or component(item["metadata"]) == "audit"


def test_the_end_is_longer_than_the_drain(objects: Objects) -> None:
    """A pod is taken out of its service first, and is given longer than the drain that the code keeps to."""
    for item in of_kind(objects, *RUNNERS).values():
        spec = item["spec"]["template"]["spec"]
        before = spec["containers"][0]["lifecycle"]["preStop"]["sleep"]["seconds"]
        assert before > 0
        assert spec["terminationGracePeriodSeconds"] >= before + STOP_SECONDS + 5


def test_recording_has_priority(objects: Objects) -> None:
    """Ingest runs with the chart's PriorityClass, and nothing else does."""
    classes = of_kind(objects, "PriorityClass")
    assert len(classes) == 1
    for name, metadata, spec in pod_specs(objects):
        wanted = next(iter(classes)) if component(metadata) == "ingest" else None
        assert spec.get("priorityClassName") == wanted, name


def test_spools_outlive_their_pods(objects: Objects) -> None:
    """Ingest is a StatefulSet with a volume of its own that stays when it is scaled down or deleted."""
    ingest = of_kind(objects, "StatefulSet")["demo-ingest"]["spec"]
    assert ingest["volumeClaimTemplates"][0]["metadata"]["name"] == "state"
    assert set(ingest["persistentVolumeClaimRetentionPolicy"].values()) == {"Retain"}
    mounts = ingest["template"]["spec"]["containers"][0]["volumeMounts"]
    assert {"name": "state", "mountPath": "/var/lib/lykta"} in mounts


def test_services_see_their_own_secrets_only(objects: Objects) -> None:
    """A service's pod mounts its own certificate, NATS password, S3 account and keys, and no other's."""
    services = {"ingest", "analytics", "storage", "access-control", "audit"}
    keys: dict[str, set[str]] = {}
    for item in of_kind(objects, *RUNNERS).values():
        me = component(item["metadata"])
        if me not in services:
            continue
        volumes = {v["name"]: v for v in item["spec"]["template"]["spec"]["volumes"]}
        assert volumes["tls"]["secret"]["secretName"] == f"demo-{me}-tls"
        for source in volumes["secrets"]["projected"]["sources"]:
            secret = source["secret"]
            assert secret["items"], f"{me} mounts the whole Secret {secret['name']}"
            for entry in secret["items"]:
                if entry["path"] == "nats-password":
                    assert entry["key"] == me
                if entry["path"] == "s3.json":
                    assert entry["key"] == f"{me}.json"
                if secret["name"] == "demo-signing-keys":
                    keys.setdefault(entry["key"], set()).add(me)
    assert keys == {
        "mandate.pem": {"access-control"},
        "grant.pem": {"access-control"},
        "media-key.pem": {"storage"},
        "audit-log.pem": {"audit"},
        "recorder-0.pem": {"ingest"},
    }


def test_no_secret_is_rendered(objects: Objects) -> None:
    """The chart renders no Secret: what is secret is made in the cluster, and is not in the release's record."""
    assert not of_kind(objects, "Secret")


def test_hooks_can_run_again(objects: Objects) -> None:
    """What a hook made before is deleted before it runs, so that a second run does not collide."""
    hooks = [item for item in objects if "helm.sh/hook" in item["metadata"].get("annotations", {})]
    assert {item["kind"] for item in hooks} >= {"Job", "ServiceAccount", "Role", "RoleBinding"}
    for item in hooks:
        assert "before-hook-creation" in item["metadata"]["annotations"]["helm.sh/hook-delete-policy"]


def test_everything_carries_the_release_labels(objects: Objects) -> None:
    """Every object is named after the release, lies in its namespace and carries the recommended labels."""
    cluster_wide = {"PriorityClass"}
    for item in objects:
        metadata = item["metadata"]
        assert metadata["labels"]["app.kubernetes.io/instance"] == "demo", metadata["name"]
        assert metadata["labels"]["app.kubernetes.io/part-of"] == "lykta", metadata["name"]
        assert item["kind"] in cluster_wide or metadata["namespace"] == "town", metadata["name"]
        assert item["kind"] in cluster_wide or metadata["name"].startswith("demo-"), metadata["name"]


@pytest.mark.parametrize("kind", ["hpa", "keda"])
def test_a_scaled_component_has_no_fixed_replicas(kind: str) -> None:
    """Where an autoscaler sets the replicas the chart does not, or each upgrade would undo it."""
    scaled = {"enabled": True, "kind": kind, "minReplicas": 2}
    values = {
        "ingest": {"autoscaling": scaled},
        "storage": {"autoscaling": scaled},
        "autoscaling": {"prometheusAddress": "http://prometheus:9090"},
    }
    objects = objects_of("evaluation", values)
    scalers = of_kind(objects, "HorizontalPodAutoscaler", "ScaledObject")
    assert set(scalers) == {"demo-ingest", "demo-storage"}
    for name in scalers:
        assert "replicas" not in of_kind(objects, *RUNNERS)[name]["spec"]
