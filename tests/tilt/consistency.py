"""What must hold between the Tiltfile, the chart, the images and the code: every finding is a sentence."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import Any

from lykta_standalone.registry import NAMES

from tests.tilt.tilt_api import ROOT, Tilt, pod
from tools.images import catalogue, packages
from tools.minio import VERSION as MINIO
from tools.run_tests import parts

LIVE = "/tmp/live"  # where deploy/docker/reloading.py looks


def findings(tilt: Tilt) -> list[str]:
    """Everything that does not fit."""
    rules = (services, workloads, order, images, contexts_of_images, live_updates, ports, hooks, checks)
    return [finding for rule in rules for finding in rule(tilt)]


def image_name(reference: str) -> str:
    """The short name of one of our images."""
    return reference.removeprefix(f"{catalogue.REGISTRY}/").partition(":")[0]


def services(tilt: Tilt) -> Iterator[str]:
    """Every service of the registry is built and shown under a label of its own, and nothing else is."""
    built = {i["build_args"].get("SERVICE") for i in tilt.images.values()} - {None, "standalone"}
    for name in sorted(set(NAMES) ^ built):
        yield f"{name}: {'no image is built' if name in NAMES else 'there is no such service'}"
    for name in NAMES:
        if not tilt.resources.get(name, {}).get("labels"):
            yield f"{name}: the service is not shown under a label"
    labels = [tuple(tilt.resources[name]["labels"]) for name in NAMES if name in tilt.resources]
    if len(set(labels)) != len(labels):
        yield "two services have the same label"


def workloads(tilt: Tilt) -> Iterator[str]:
    """Every workload that helm renders has its place, and every place its workload, in a namespace that is made."""
    for name in sorted(tilt.workloads.keys() ^ tilt.resources.keys()):
        yield f"{name}: {'rendered, but not described' if name in tilt.workloads else 'described, but not rendered'}"
    for name, resource in tilt.resources.items():
        if not resource["labels"]:
            yield f"{name}: without a label"
    made = {item["metadata"]["name"] for item in tilt.objects if item["kind"] == "Namespace"}
    for item in tilt.objects:
        if (place := item["metadata"].get("namespace")) and place not in made:
            yield f"{item['kind']}/{item['metadata']['name']}: in the namespace {place}, which nobody makes"


def order(tilt: Tilt) -> Iterator[str]:
    """What a resource waits for exists and never waits for it; backbone, setup, services, demo come in this order."""
    for name, resource in tilt.resources.items():
        for other in resource["waits_for"]:
            if other not in tilt.resources.keys() | tilt.checks.keys():
                yield f"{name}: waits for {other}, which does not exist"
        if name in before(tilt, name):
            yield f"{name}: waits for itself"
    servers = {"nats", "minio", "postgresql"}
    wanted = {"setup": {"prepare", "nats", "minio"}, "found": {*NAMES, "identity", "cameras"}, "flow": {"found"}}
    wanted |= {name: {"prepare"} for name in servers} | {name: {"setup", *servers} for name in NAMES}
    for name, earlier in wanted.items():
        for other in sorted(earlier - before(tilt, name)):
            yield f"{name}: does not wait for {other}"


def before(tilt: Tilt, name: str) -> set[str]:
    """Everything that comes before a resource."""
    found: set[str] = set()
    waiting = list(tilt.resources.get(name, {}).get("waits_for", ()))
    while waiting:
        if (one := waiting.pop()) not in found:
            found.add(one)
            waiting += tilt.resources.get(one, {}).get("waits_for", ())
    return found


def images(tilt: Tilt) -> Iterator[str]:
    """Every image that a pod runs is made here, and every image that is made is one that a pod runs."""
    run = {image_name(c["image"]) for workload in tilt.workloads.values() for c in pod(workload)["containers"]}
    built = {image_name(reference) for reference in tilt.images}
    for name in sorted(run ^ built):
        yield f"{name}: the image is {'run, but not built' if name in run else 'built, but nothing runs it'}"
    for name in sorted(built - set(catalogue.NAMES)):
        yield f"{name}: the catalogue of images has none of this name"


def contexts_of_images(tilt: Tilt) -> Iterator[str]:
    """Each Dockerfile finds the stage, the arguments and the files that it copies."""
    for reference, image in tilt.images.items():
        name, text = image_name(reference), (ROOT / image["dockerfile"]).read_text()
        if not re.search(rf"(?m)^FROM .* AS {re.escape(image['target'])}$", text):
            yield f"{name}: {image['dockerfile']} has no stage {image['target']!r}"
        for argument in image["build_args"].keys() - set(re.findall(r"(?m)^ARG (\w+)", text)):
            yield f"{name}: {image['dockerfile']} takes no argument {argument}"
        if image["build_args"].get("MINIO", MINIO) != MINIO:
            yield f"{name}: MinIO {image['build_args']['MINIO']} is not the {MINIO} that `make images` builds"
        for path in image["only"]:
            if not (ROOT / path).exists():
                yield f"{name}: {path} does not exist"
        for words in re.findall(r"(?m)^COPY ((?!--from)\S.*)$", text):
            for source in [word for word in words.split() if not word.startswith("--")][:-1]:
                if not any(inside(source, path) or inside(path, source) for path in image["only"]):
                    yield f"{name}: {source} is copied, but nothing of it is given"


def live_updates(tilt: Tilt) -> Iterator[str]:
    """The sources of exactly those members that an image holds are synced to where the program is restarted from."""
    for reference, image in tilt.images.items():
        name, steps = image_name(reference), image["live_update"]
        if "SERVICE" not in image["build_args"]:
            continue
        synced = {step["sync"] for step in steps if "sync" in step}
        held = {f"{folder.relative_to(ROOT)}/src" for folder in packages.members(ROOT, name)}
        for path in sorted(synced ^ held):
            yield f"{name}: {path} is {'in the image, but not synced' if path in held else 'synced, but not in it'}"
        for path in sorted(synced):
            if not list((ROOT / path).glob("lykta*/*.py")):
                yield f"{name}: {path} holds no sources"
            if not any(inside(path, given) for given in image["only"]):
                yield f"{name}: {path} is synced, but not given to the build"
        if {step["to"] for step in steps if "sync" in step} != {LIVE}:
            yield f"{name}: not everything is synced to {LIVE}"
        if not steps or f"{LIVE}/.changed" not in steps[-1].get("run", ""):
            yield f"{name}: nobody is told that a sync is complete"


def ports(tilt: Tilt) -> Iterator[str]:
    """Each forwarded port is one that the pod has under this name, on a port of this machine of its own."""
    taken: dict[int, str] = {}
    for name, resource in tilt.resources.items():
        containers = pod(tilt.workloads[name])["containers"] if name in tilt.workloads else []
        there = {port["containerPort"] for container in containers for port in container.get("ports", ())}
        for forward in resource["forwards"]:
            if forward["container"] not in there:
                yield f"{name}: has no port {forward['container']}"
            if (other := taken.setdefault(forward["local"], name)) != name:
                yield f"{name}: {forward['local']} is taken by {other}"
    for name in NAMES:
        forwarded = {forward["name"] for forward in tilt.resources.get(name, {}).get("forwards", ())}
        for missing in sorted({"grpc", "metrics"} - forwarded):
            yield f"{name}: its {missing} is not forwarded"


def hooks(tilt: Tilt) -> Iterator[str]:
    """No hook is applied that helm would not run at an installation or a test."""
    for item in tilt.objects:
        hook = item["metadata"].get("annotations", {}).get("helm.sh/hook", "test")
        if hook != "test" and "install" not in hook:
            yield f"{item['kind']}/{item['metadata']['name']}: a {hook} hook would run at once"


def checks(tilt: Tilt) -> Iterator[str]:
    """Lint and every service's tests are there as commands that exist, and nothing of the checks starts by itself."""
    targets = set(re.findall(r"(?m)^([a-z-]+):", (ROOT / "Makefile").read_text()))
    known = {part.name for part in parts()}
    asked = tilt.checks | {n: r for n, r in tilt.resources.items() if "checks" in r["labels"]}
    for name, check in asked.items():
        if check["starts"] or check["trigger"] != "manual":
            yield f"{name}: starts without being asked"
    tested = set()
    for name, check in tilt.checks.items():
        _, target, *more = check["command"].split()
        part = next((word.removeprefix("PART=") for word in more if word.startswith("PART=")), "")
        tested.add(part.replace("_", "-"))
        if target not in targets or (part and part not in known):
            yield f"{name}: {check['command']} does not exist"
    for name in sorted({*NAMES} - tested):
        yield f"{name}: its tests are no resource"
    if "lint" not in tilt.checks or "flow" not in asked:
        yield "lint and the way of one frame are not among the checks"


def inside(path: str, folder: Any) -> bool:
    """Say whether a path lies in a folder, or is it."""
    return PurePosixPath(path).is_relative_to(folder)
