"""The manifests of examples/deploy/kubernetes agree with each other: what no schema can say."""

import pathlib
import sys

import yaml

objects = {}
for path in sorted(pathlib.Path(sys.argv[1]).glob("*.yaml")):
    for document in yaml.safe_load_all(path.read_text()):
        objects[document["kind"], document.get("metadata", {}).get("name")] = document


def pods():
    """Each pod's labels and specification, by the object that makes it."""
    for (kind, name), document in objects.items():
        spec = document.get("spec", {})
        spec = spec.get("jobTemplate", {}).get("spec", spec)
        if "template" in spec:
            labels = spec["template"]["metadata"]["labels"]
            yield f"{kind} {name}", labels, spec["template"]["spec"]


def check(holds, text):
    if not holds:
        sys.exit(f"examples/deploy/kubernetes: {text}")


deployment = objects["Deployment", "app"]["spec"]
labels, pod = deployment["template"]["metadata"]["labels"], deployment["template"]["spec"]
container = pod["containers"][0]
ports = {port["name"]: port["containerPort"] for port in container["ports"]}


def selects(selector):
    return selector.items() <= labels.items()


check(selects(deployment["selector"]["matchLabels"]), "the Deployment does not select its own pods")
for constraint in pod["topologySpreadConstraints"]:
    check(selects(constraint["labelSelector"]["matchLabels"]), "a constraint spreads other pods")
for name in ["app", "app-status"]:
    service = objects["Service", name]["spec"]
    check(selects(service["selector"]), f"Service {name} selects no replica")
    check("sessionAffinity" not in service, f"Service {name} has affinity")
    for port in service["ports"]:
        check(port["targetPort"] in ports, f"Service {name}: no container port {port['targetPort']}")
check(objects["Service", "app"]["spec"]["ports"][0]["targetPort"] == "http", "users reach the status port")

budget = objects["PodDisruptionBudget", "app"]["spec"]
check(selects(budget["selector"]["matchLabels"]), "the PodDisruptionBudget is of other pods")
check(1 < budget["minAvailable"] < deployment["replicas"], "the budget lets all pods go, or none")
check(deployment["strategy"]["rollingUpdate"]["maxUnavailable"] == 0, "a rollout removes before it adds")

probes = {kind: container[f"{kind}Probe"]["httpGet"] for kind in ["liveness", "startup", "readiness"]}
for kind, path in [("liveness", "/health/live"), ("startup", "/health/live"), ("readiness", "/health/ready")]:
    # A liveness that asks the store would restart all replicas at once.
    check(probes[kind] == {"path": path, "port": "status"}, f"{kind}Probe: expected {path} at the status port")
pause = container["lifecycle"]["preStop"]["sleep"]["seconds"]
check(pause < pod["terminationGracePeriodSeconds"], "it is killed before it may stop")

policies = {name: document["spec"] for (kind, name), document in objects.items() if kind == "NetworkPolicy"}
check(selects(policies["app"]["podSelector"]["matchLabels"]), "the NetworkPolicy is of other pods")
allowed = {port["port"] for rule in policies["app"]["ingress"] for port in rule["ports"]}
check(allowed == set(ports), f"the NetworkPolicy allows {allowed}, the container has {set(ports)}")
for rule in policies["app"]["ingress"]:
    check(rule.get("from"), "a rule of the NetworkPolicy allows everybody")
check([rule["from"] for rule in policies["redis"]["ingress"]] == [
    [{"podSelector": {"matchLabels": {"store-client": "true"}}}]
], "others than the store's clients reach the store")

generated = {secret["name"]: {pathlib.Path(file).name for file in secret["files"]}
             for secret in objects["Kustomization", None]["secretGenerator"]}
for name, pod_labels, spec in pods():
    check(spec["securityContext"]["runAsNonRoot"], f"{name} runs as root")
    check(spec["securityContext"]["seccompProfile"]["type"] == "RuntimeDefault", f"{name} has no seccomp profile")
    uses_store = False
    for volume in spec.get("volumes", []):
        secret = volume["secret"]
        uses_store = True
        check(secret["secretName"] in generated, f"{name}: there is no secret {secret['secretName']}")
        check(secret["defaultMode"] == 0o440 and "fsGroup" in spec["securityContext"], f"{name}: secret's mode")
    check((pod_labels.get("store-client") == "true") == uses_store, f"{name}: label store-client")
    for one in spec["containers"]:
        context = one["securityContext"]
        check(context["readOnlyRootFilesystem"] and not context["allowPrivilegeEscalation"]
              and context["capabilities"] == {"drop": ["ALL"]}, f"{name} may do more than it needs")
        check("memory" in one["resources"]["limits"], f"{name} has no limit of memory")
        texts = [entry["value"] for entry in one.get("env", []) if "/run/secrets" in entry["value"]]
        texts += [word.partition("=")[2] for word in one.get("command", []) if "/run/secrets" in word]
        for text in texts:
            check(pathlib.Path(text).name in generated["app-secrets"], f"{name}: no secret at {text}")
print("checked: the manifests agree with each other")
