"""What the cluster gets is what the rules see: no object inside another resource, none changed by a second one."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache

from ..kubernetes import (
    Nearby,
    held_containers,
    is_operated,
    is_serving,
    is_workload,
    kind,
    object_name,
    patched,
    place,
    template_path,
)
from ..rule import Examples, Finding, Options, StackRule, texts, title
from ..values import UNKNOWN, UNREADABLE, NotKnown, Program, Resource, get

PASSES = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: ledger}
spec:
  selector: {matchLabels: {app: ledger}}
  template:
    metadata: {labels: {app: ledger}}
    spec:
      containers: [{name: ledger, image: example.org/ledger:1.1.0}]
"""
FAILS = """
apiVersion: helm.sh/v3
kind: Release
metadata: {name: ledger}
chart: oci://example.org/charts/ledger
"""


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


# What a provider may be told so that objects are not made, or not brought up to date, and Pulumi takes them for made.
# https://www.pulumi.com/registry/packages/kubernetes/api-docs/provider/
_APPLIES_NOTHING = {
    "renderYamlToDirectory": "writes files and applies nothing, so no migration has run when it is said to have succeeded",
    "skipUpdateUnreachable": "leaves out what it cannot reach, so a migration may be said to have succeeded that has not run",
}
_OFF = (None, False, "false", "", "0")
# What deploys other objects, out of a repository, a chart or a text in it, by its group and kind.
_DEPLOYERS = re.compile(
    r"helm\.sh/Release|helm\.toolkit\.fluxcd\.io/HelmRelease|kustomize\.toolkit\.fluxcd\.io/Kustomization|helm\.cattle\.io/HelmChart(Config)?"
    r"|source\.fluxcd\.io/\w+Kustomization|argoproj\.io/(Application|ApplicationSet|AppProject)|fleet\.cattle\.io/(GitRepo|Bundle)"
    r"|kubernetes\.(m\.)?crossplane\.io/Object|helm\.(m\.)?crossplane\.io/Release|core\.oam\.dev/Application|kappctrl\.k14s\.io/App"
    r"|packaging\.carvel\.dev/PackageInstall|work\.open-cluster-management\.io/ManifestWork|addons\.cluster\.x-k8s\.io/\w+"
    r"|(auto\.)?pulumi\.com/\w+|infra\.contrib\.fluxcd\.io/Terraform|(opentofu|tf)\.(m\.)?upbound\.io/Workspace|app\.terraform\.io/\w+"
    r"|kro\.run/\w+|apps\.open-cluster-management\.io/(Subscription|Channel)|helm\.k0sproject\.io/Chart|k3s\.cattle\.io/Addon"
    r"|config\.projectsveltos\.io/\w+Profile|gitops\.kluctl\.io/KluctlDeployment|kargo\.akuity\.io/(Stage|Promotion)|porter\.sh/\w+"
    r"|apps\.openshift\.io/DeploymentConfig|template\.openshift\.io/TemplateInstance|image\.toolkit\.fluxcd\.io/ImageUpdateAutomation"
)
# Resources of other packages that do, by their types: those of Terraform's providers are also bridged under their own names.
_PACKAGES = re.compile(
    r"kubectl:.*|helm:.*:Release|helmfile:.*|argocd:.*:Application(Set)?|flux:.*"
    r"|kustomization:.*:Resource|rancher2:.*:App(V2)?|ansible:.*:Playbook|(null|terraform):.*"
    r"|azure-native(_\w+)?:kubernetesconfiguration(/\w+)?:(kubernetesconfiguration:)?FluxConfiguration"
    r"|azure:.*:KubernetesFluxConfiguration|arc:.*FluxConfiguration|gcp:gkehub/.*:FeatureMembership"
)
# What is run once and ends, or only when somebody asks for it: the gate looks whether it migrates.
_ENDS = re.compile(r"keda\.sh/ScaledJob|argoproj\.io/.*Workflow.*|tekton\.dev/.*|.*/(Task|Workflow|Job)\w*|.*Template")
# Annotations by which something else writes an image into a workload later.
_TRIGGERS = re.compile(
    r"image\.openshift\.io/triggers|keel\.sh/(policy|trigger)|(flux\.weave\.works|fluxcd\.io)/(automated|tag\..*)|argocd-image-updater\.argoproj\.io/image-list"
)
# What may be asked of a cluster without changing it; every other verb deploys, or takes away.
_ASKS = _words(
    "get describe wait logs version config auth cluster-info top explain api-resources api-versions diff events completion status history "
    "template list ls show search lint pull package push repo dependency registry env login logout whoami port-forward plugin "
    "plan preview validate output fmt init workspace providers graph select export manifests resources terminate-op"
)
_CHANGES = _words(
    "apply create set patch replace scale autoscale delete edit run expose annotate label taint drain cordon uncordon exec cp attach debug "
    "install upgrade uninstall rollback sync reconcile deploy start resume restart undo pause import new-app up submit destroy ci "
    "apply-all run-all refresh down rm"
)
# Words that say of what, before the verb.
_GROUPS = _words("rollout app appset stack compose service cluster release")
_CLIENTS = _words(
    "kubectl oc helm helmfile argocd flux kustomize kapp skaffold werf nomad terraform tofu terragrunt pulumi cdktf eksctl tk argo kn "
    "istioctl porter garden tilt devspace okteto sst kluctl vela timoni"
)
_PLAYBOOK = "ansible-playbook"  # which has no verb
_ONE = re.compile(r"[;&|\n]+")
_COMMENT = re.compile(r"(?:^|\s)#[^\n]*")
_DRY = re.compile(r"--(?:dry-run|check|syntax-check|list-hosts|list-tasks)(?:=(\w+))?(?=[\s\"']|$)")
_WORD = re.compile(r"[^\s\"'`$()\[\],;&|]+")
_AFTER = 40  # words behind a client's name in which its verb stands


def _not_patched(resource: Resource, program: Program, options: Options) -> Iterator[Finding]:
    """A Patch of what this program declares itself: the rules judge the one, and the cluster gets both. Metadata may be added."""
    if not patched(resource) or not resource.props.keys() - {"apiVersion", "kind", "metadata", "status"}:
        return
    made_of = {u for urns in resource.property_dependencies.values() for u in urns}
    near = _declared(program).nearest(place(resource), patched(resource))
    for other in (other for other in near if other.urn in made_of or _is_named_as(other, resource)):
        yield Finding(
            f"it changes {title(other)} of this program, which is judged without it",
            f"Write it in {title(other)} itself",
        )


def _is_named_as(one: Resource, other: Resource) -> bool:
    name = object_name(one)
    return name is not None and name == object_name(other)


def _one_resource(resource: Resource, program: Program, options: Options) -> Iterator[Finding]:
    """Two resources that are one object: what the cluster has is whichever was applied last."""
    if not kind(resource) or patched(resource) or kind(resource).endswith("List"):
        return
    for other in _by_name(program).at(place(resource), (kind(resource), object_name(resource))):
        if other.urn == resource.urn:
            return  # each pair is told once, of the later one
        yield Finding(
            f"it is the same object as {title(other)} of this program ({other.urn.rpartition('::')[0].rpartition('$')[2] or 'its parent'}), and the cluster has one of the two",
            "Declare it once, or give it a name of its own",
        )
        return


@lru_cache(maxsize=4)
def _by_name(program: Program) -> Nearby[Resource]:
    found: Nearby[Resource] = Nearby()
    for r in program.resources:
        try:
            name = object_name(r) if kind(r) else None
            if name is not None:
                found.add(place(r), (kind(r), name), r)
        except UNREADABLE:
            continue
    return found


def _applied(resource: Resource, program: Program, options: Options) -> Iterator[Finding]:
    if not kind(resource) or resource.provider is None or not (is_workload(resource) or kind(resource) == "Service"):
        return
    for name, what in _APPLIES_NOTHING.items():
        given = resource.provider.props.get(name)
        if given is UNKNOWN and name != "renderYamlToDirectory":
            raise NotKnown(f"{name} of its provider")
        if given is UNKNOWN or given not in _OFF:
            yield Finding(f"its provider is told {name}, and so {what}", f"Remove {name} from the provider")


@lru_cache(maxsize=4)
def _declared(program: Program) -> Nearby[Resource]:
    found: Nearby[Resource] = Nearby()
    if any(map(patched, program.resources)):
        for r in program.resources:
            found.add(place(r), kind(r), r)
    return found


def _seen_into(resource: Resource, program: Program, options: Options) -> Iterator[Finding]:
    of = kind(resource)
    if of in options["kinds"] or resource.type in options["kinds"]:
        return
    if _PACKAGES.fullmatch(resource.type):
        yield Finding(
            "it deploys what no policy sees: its objects are no resources of this program",
            f"Declare them by the kubernetes package; or add {resource.type} to kinds of this rule",
        )
    elif _DEPLOYERS.fullmatch(of):
        if of != "helm.sh/Release" or resource.get("chart") not in options["releases"]:
            yield Finding(
                "it deploys what no policy sees: its objects are rendered in the cluster",
                "Use kubernetes.helm.sh/v4.Chart, whose objects are resources of their own; or add its chart to releases, or its kind to kinds, of this rule",
            )
    elif "/" not in of and of.endswith("List") and resource.get("items"):
        yield Finding("it holds several objects, of which no policy sees any", "Declare each as a resource of its own")
    elif "/" in of and not is_workload(resource) and not is_operated(resource) and not _ENDS.fullmatch(of):
        held = next(held_containers(resource.props), None)
        if held:
            yield Finding(
                f"it makes pods of {get(held, 'image')} that no policy sees, as they are not at spec.template",
                f"Use a Deployment, or add {of} to kinds of this rule",
            )


def _by_a_command(resource: Resource, program: Program, options: Options) -> Iterator[Finding]:
    """What runs a program on the machine of whoever updates, which may deploy anything."""
    if resource.type in options["kinds"]:
        return
    if re.fullmatch(r"pulumi-(python|nodejs|go|dotnet|java):dynamic(/.*)?:.*", resource.type):
        yield Finding(
            "it is a dynamic resource, whose code may deploy what no policy sees",
            f"Declare what it makes as resources; or add {resource.type} to kinds of this rule",
        )
    elif re.fullmatch(r"command:(local|remote):Command", resource.type):
        texts = [resource.props.get(name) for name in ("create", "update", "delete", "interpreter", "stdin")]
        for text in texts:
            if isinstance(text, list):
                text = " ".join(str(word) for word in text if word is not UNKNOWN)
            deploys = _deploys(text) if isinstance(text, str) else ""
            if deploys:
                yield Finding(
                    f"its command runs {deploys}, which changes what no policy sees",
                    f"Declare what it changes as resources; or add {resource.type} to kinds of this rule",
                )
                return
        if UNKNOWN in texts:
            raise NotKnown("its command")


def _deploys(text: str) -> str:
    """A client of a cluster and the verb by which it changes something; empty where it only asks."""
    for one in _ONE.split(_COMMENT.sub("", text)):
        tried = _DRY.findall(one)
        deploys = "" if tried and tried[-1] not in ("none", "false") else _deploys_by(one)
        if deploys:
            return deploys
    return ""


def _deploys_by(command: str) -> str:
    client, group, left = "", "", 0
    for found in _WORD.finditer(command):
        word = found[0].rpartition("/")[2]
        if word == _PLAYBOOK:
            return word
        if word in _CLIENTS:
            client, group, left = word, "", _AFTER
        elif left:
            left -= 1
            if word in _ASKS:
                left = 0  # also behind a group: rollout status, app get
            elif word in _CHANGES:
                return f"{client} {group or word}"
            elif word in _GROUPS:
                group = group or word
    return f"{client} {group}" if group and left else ""


def _not_triggered(resource: Resource, program: Program, options: Options) -> Iterator[Finding]:
    """An image that something else writes into the workload: no migration of it is waited for."""
    if not is_serving(resource):
        return
    for path in (("metadata", "annotations"), (*template_path(resource), "metadata", "annotations")):
        for name in get(resource.props, *path) or ():
            if _TRIGGERS.fullmatch(name) and get(resource.props, *path, name) not in (*_OFF, "never", "[]"):
                yield Finding(
                    f"by its annotation {name} something else changes its image later, and no migration stands before that",
                    "Remove the annotation, and deploy each version by an update",
                )


RULE = StackRule(
    name="nothing-unseen",
    description="Every object is a resource of its own, and of one resource only, and is applied as it is declared.",
    reason="The objects of a Helm Release are rendered in the cluster and those of a List are one resource, so no rule sees them; a Patch "
    "of what the same program declares changes what was judged without it. So it is with what Flux, Argo CD or Crossplane deploy, with pods in objects "
    "of other kinds, with packages and commands that run kubectl, helm, Terraform or their like, and with dynamic resources. A provider that renders YAML applies nothing.",
    unseen="what a command does that runs a script of its own or speaks to the cluster's API itself, what an operator "
    "makes of objects that hold no container, controllers that are told in comments or in their own configuration "
    "which image to write, and the environment's `PULUMI_K8S_*` variables of a provider",
    severity="high",
    options={
        "releases": texts("charts of Helm Releases that may deploy what is not seen"),
        "kinds": texts(
            "kinds, such as `argoproj.io/Application`, and types of resources, such as `command:local:Command`, that may"
        ),
    },
    examples=Examples(PASSES, FAILS),
    checks=(_not_patched, _one_resource, _applied, _seen_into, _by_a_command, _not_triggered),
)
