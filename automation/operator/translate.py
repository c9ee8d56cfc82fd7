"""A stack of the Formance operator as our configuration. Values in, values out.

Compared with formancehq/operator at de735dc (2026-05-15, v3.9.2 and 8 commits).
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from settings import SettingsError
from settings.catalog import KINDS, find
from settings.versions import Version

from .draft import Draft, Step, of_object
from .errors import CannotImport, WhichStack
from .infrastructure import databases, infrastructure
from .modules import Module
from .objects import GROUP, Fields, Object, objects
from .settings import Lookup, Setting
from .values import is_suspect, plain, shown

_MODULES = frozenset(KINDS) - {"custom"}
# https://kubernetes.io/docs/concepts/overview/working-with-objects/names/: a stack's name is its namespace's.
_LABEL = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
_SUBDOMAIN = re.compile(r"(?!.*\.\.)[a-z0-9]([a-z0-9.-]{0,98}[a-z0-9])?")
_CLIENT = re.compile(r"[a-z]([a-z0-9-]{0,22}[a-z0-9])?")
# From here on a ledger is a ledger.formance.com/Cluster, and the operator refuses to make one of a ledger 2.
_LEDGER_3 = Version("3.0.0-alpha")
# In this repository.
MIGRATOR = "devkit/images/Dockerfile.migrator"
_WITHOUT = {
    "Search": "search was removed from Formance's stacks",
    "Benthos": "belongs to search, which was removed",
    "BenthosStream": "belongs to search, which was removed",
    "BrokerTopic": "the operator makes it; see rollout:broker.streams",
    "BrokerConsumer": "the operator makes it; see rollout:broker.streams",
    "GatewayHTTPAPI": "the operator makes it; every module has a route",
    "ResourceReference": "the operator makes it, to copy a Secret from another namespace; see what is to do",
    "Connectivity": "it needs ledger 3, and is deployed by an operator of its own",
    "Analytics": "it is no kind of the operator 3, and nothing reads it",
    "LedgerConfiguration": "it belongs to ledger 3, which is another system",
    "GatewayGRPCAPI": "it belongs to ledger 3, which is another system",
    "GatewayBackend": "the gateway leads to the stack's modules alone",
    "OtelExporterEndpoint": "see rollout:openTelemetry",
    "VersionManifest": "see rollout:versions",
}
_REASONS = (
    ("clear-database", "databases are dropped by `rollout destroy --drop-databases` and by nothing else"),
    ("payments.clear-temporal", "Temporal is never cleared"),
    ("elasticsearch", "only search used it"),
    ("caddy.image", "only payments before 3.0 used it"),
    ("gateway.dns", "external-dns reads the Ingress's hosts, or annotations in gateway.ingress.annotations"),
    ("gateway.ingress.labels", "the Ingress has the stack's own labels"),
    (
        "deployments.payments.",
        "before payments 3.0 the operator has a proxy of that name; here the gateway does what it does",
    ),
    ("ledger.logs.max-batch-size", "no version reads it"),
    ("ledger.v3", "ledger 3 is another system"),
    ("claims", "resource claims are not supported"),
    ("init-containers", "no module has init containers"),
    ("jobs.database.", "the Job that makes a database is the same everywhere"),
    ("namespace.", "the namespace is not made by the stack: give it these yourself"),
)


@dataclass
class Imported:
    """What a stack of the operator is as ours.

    Args:
        stack: its name.
        config: settings under ``rollout:``.
        sources: path of a setting -> what it comes from.
        line: name of the versions file, None if the stack uses none.
        versions: module -> version, of that file.
        todo: what is to be done by hand before an update, in the order to do it.
        without: what has no equivalent, and why.
    """

    stack: str
    config: dict[str, Any] = field(default_factory=dict)
    sources: dict[str, list[str]] = field(default_factory=dict)
    line: str | None = None
    versions: dict[str, str] = field(default_factory=dict)
    todo: list[Step] = field(default_factory=list)
    without: list[str] = field(default_factory=list)


def translate(documents: Iterable[Any], stack: str | None = None) -> Imported:
    """Reads the objects of one stack.

    Args:
        documents: Kubernetes objects, or lists of them; those that are not the operator's are listed as without equivalent.
        stack: name; may be left out where there is one Stack.

    Raises:
        WhichStack: there is no such Stack, or more than one to choose from.
        CannotImport: objects are of the wrong form, or say what cannot be.
    """
    problems: list[str] = []
    found = objects(documents, problems)
    stacks = {o.name: o for o in found if o.api == GROUP and o.kind == "Stack"}
    if stack is None and len(stacks) == 1:
        stack = next(iter(stacks))
    if stack is None or stack not in stacks:
        if problems:
            raise CannotImport(problems)
        raise WhichStack([plain(name) for name in sorted(stacks)])
    if not _LABEL.fullmatch(stack):
        problems.append(
            f"{stacks[stack]}: metadata.name: {shown(stack)} can be no namespace: allowed are lower-case letters, digits and -, 63 at most"
        )
        raise CannotImport(problems)
    return _Translation(stacks[stack], found, problems).result()


class _Translation:
    def __init__(self, stack: Object, found: list[Object], problems: list[str]) -> None:
        self._draft = Draft(stack.name, problems=problems)
        self._stack, self._problems = stack, problems
        self._spec = Fields(stack, stack.spec, problems)
        self._imported = Imported(stack.name)
        self._mine: dict[str, list[Object]] = {}
        self._all = found
        self._shared_out(found)
        self._lookup = Lookup(self._mine.pop("Settings", []), stack.name, problems, self._draft.notes)
        self._modules = {kind.lower(): of[0] for kind, of in self._mine.items() if kind.lower() in _MODULES}

    def result(self) -> Imported:
        draft = self._draft
        self._whole_stack()
        versions = self._versions()
        infrastructure(draft, self._lookup, self._mine.pop("Broker", []))
        for name, given in self._modules.items():
            version, source, resolved = versions[name]
            Module(draft, self._lookup, given, version, source, resolved).write()
        draft.config.setdefault("modules", {})
        with_database = [name for name in self._modules if find(name).defaults.get("database", True)]
        made = self._mine.pop("Database", [])
        databases(draft, self._lookup, {name: versions[name][2] for name in with_database}, made)
        self._clients(self._mine.pop("AuthClient", []))
        self._needed({name: Version(resolved) for name, (_, _, resolved) in versions.items()})
        self._memory()
        self._rest(made)
        if self._problems:
            raise CannotImport(self._problems)
        self._nothing_secret()
        self._accounted()
        imported = self._imported
        imported.config, imported.sources, imported.without = draft.config, draft.sources, draft.without
        imported.todo = list(self._todo(bool(with_database)))
        return imported

    # --- objects -----------------------------------------------------------------------------------------------------

    def _shared_out(self, found: list[Object]) -> None:
        """By kind, those of this stack; all others are listed."""
        elsewhere: dict[str, list[str]] = {}
        for each in found:
            if each.api != GROUP:
                self._draft.listed(each, f"it is of {plain(each.api)}, and the operator's objects are of {GROUP}")
            elif each is self._stack:
                continue
            elif each.kind == "Stack":
                elsewhere.setdefault(each.name, []).append(str(each))
            elif each.kind in ("Settings", "Versions") or each.stack == self._stack.name:
                self._mine.setdefault(each.kind, []).append(each)
            elif isinstance(each.spec.get("stack", ""), str):
                if each.stack is None:
                    self._draft.listed(
                        each, _WITHOUT.get(each.kind, "it names no stack, so the operator makes nothing of it")
                    )
                else:
                    elsewhere.setdefault(each.stack, []).append(str(each))
            else:
                self._problems.append(
                    f"{each}: spec.stack: {shown(each.spec['stack'])} is not a text: write it in quotes"
                )
        for stack, names in sorted(elsewhere.items()):
            self._draft.listed(", ".join(names), f"of stack {plain(stack)}: import it by itself, with --stack")
        for kind, of in self._mine.items():
            if kind.lower() in _MODULES and len(of) > 1:
                self._problems.append(
                    f"{' and '.join(map(str, of))}: a stack has one {kind}, and the operator refuses more: remove all but one"
                )

    def _rest(self, databases: list[Object]) -> None:
        """What nothing was made of."""
        draft = self._draft
        for each in databases:
            draft.listed(each, f"the operator makes it; databases keep their names, {self._draft.stack}-<module>")
        for kind, of in self._mine.items():
            if kind.lower() in self._modules or kind == "Versions":
                continue
            for each in of:
                old = (
                    "it is of the operator 1, which had no Settings"
                    if kind.endswith("Configuration")
                    else "its kind is not known here"
                )
                draft.listed(each, _WITHOUT.get(kind, old))
        for path in self._spec.unread():
            draft.listed(f"{self._stack}: {path}", "not known here, so nothing was made of it")
        for unread in self._lookup.unread:
            draft.listed(unread, "the operator does not read it")
        for setting in self._lookup.of_others:
            stacks = ", ".join(map(plain, setting.stacks)) or "none"
            draft.listed(setting, f"it is not for this stack, but for {stacks}")
        for setting in self._lookup.all:
            if not setting.applied:
                draft.listed(setting, self._why(setting))

    def _accounted(self) -> None:
        """Whatever is neither a source of something written nor listed or mentioned says what holds here anyway."""
        draft = self._draft
        said = [
            *(source for each in draft.sources.values() for source in each),
            *draft.without,
            *draft.notes,
            *map(str, draft.settings),
            *(s.why for s in draft.secrets.values()),
        ]
        known = "\n".join(said)
        for each in self._all:
            used = each is self._stack or (each.kind == "Versions" and each.name == self._imported.line)
            if not used and not re.search(rf"{re.escape(str(each))}(?![\w.-])", known):
                hidden = [
                    s for s in self._lookup.all if s.after and s.after.name == each.name and s.value != s.after.value
                ]
                why = "nothing follows from it, as it says what holds here anyway"
                if each.kind == "Settings" and hidden:
                    why = f"all that follows from it is that {', '.join(map(str, hidden))} does not hold, which it comes before"
                draft.listed(each, why)

    def _why(self, setting: Setting) -> str:
        if setting.after:
            return f"{setting.after} comes before it"
        known = next((why for key, why in _REASONS if key in setting.key.lower()), None)
        if known:
            return known
        if setting.parts[0] == "registries":
            return 'it is for none of the images here; the name of a registry is quoted, as in registries."ghcr.io".endpoint'
        named = {part.lower().removesuffix("-worker") for part in setting.parts}
        absent = sorted((named & _MODULES) - self._modules.keys())
        if absent:
            return f"the stack has no {', '.join(absent)}"
        return "no version of the operator that was looked at reads it: not known"

    # --- the stack ---------------------------------------------------------------------------------------------------

    def _whole_stack(self) -> None:
        draft, spec, stack = self._draft, self._spec, self._stack
        for flag in ("debug", "dev", "disabled"):
            draft.put(spec.flag(flag), flag, source=stack)
        if spec.flag("enableAudit"):
            draft.listed(f"{stack}: spec.enableAudit", "deprecated; the gateway does not publish an audit trail")
        annotations = stack.metadata.get("annotations")
        if isinstance(annotations, Mapping) and annotations.get("formance.com/skip") == "true":
            draft.put("the operator's stack was skipped (formance.com/skip)", "freeze", source=stack)
        # Its Secrets must be there before the first update, and so must it.
        draft.config["namespace"] = {"name": draft.namespace, "create": False}
        for parts, path in (
            (("networkpolicies", "enabled"), ("networkPolicies",)),
            (("logging", "json"), ("defaults", "jsonLogging")),
        ):
            setting = self._lookup.find(*parts)
            if setting:
                draft.put(setting.value == "true", *path, source=setting)
                if setting.value not in ("true", "false"):
                    draft.note(
                        f"{setting}: {shown(setting.value)} counts as false with the operator, as only true is true; it was left off"
                    )

    def _versions(self) -> dict[str, tuple[str, object, str]]:
        """The version that each module is given, what says it, and the one that counts.

        Its own, else the stack's, else that of the Versions object (core/version.go), which the versions file then has.
        """
        stack, line = self._spec.text("version"), self._spec.text("versionsFromFile")
        if stack and line:
            self._draft.listed(f"{self._stack}: spec.versionsFromFile", "spec.version comes first")
            line = ""
        of_line = self._line(line)
        found: dict[str, tuple[str, object, str]] = {}
        for name, given in self._modules.items():
            own = Fields(given, given.spec, []).text("version")
            version, source = (own, f"{given}: spec.version") if own else (stack, f"{self._stack}: spec.version")
            found[name] = (version, source, version or of_line.get(name, ""))
            in_line = f"Versions/{plain(line)}: spec.{name}"
            self._usable(name, version or of_line.get(name, ""), source if version else in_line)
        return found

    def _usable(self, module: str, text: str, source: str) -> None:
        if not text:
            return
        try:
            version = Version.parse(text)
        except SettingsError:
            self._problems.append(
                f"{source}: {shown(text)} is not a version; allowed is the tag of an image, such as v2.4.12"
            )
            return
        if module == "ledger" and version.semantic and not version.is_older_than(_LEDGER_3):
            self._problems.append(
                f"{source}: {shown(text)} of {self._modules[module]}: ledger 3 is another system, with an operator (ledger.formance.com) and a "
                "storage of its own, and takes no data of ledger 2 over. Allowed here is a version below 3, such as v2.4.12"
            )

    def _line(self, line: str) -> dict[str, str]:
        """The versions file that the stack uses."""
        versions: dict[str, str] = {}
        for each in self._mine.get("Versions", []):
            if each.name == line:
                spec = Fields(each, each.spec, self._problems)
                versions = {name: spec.text(name) for name in sorted(each.spec)}
            else:
                self._draft.listed(
                    each, f"the stack uses {plain(line)}" if line else "the stack says its version itself"
                )
        if not line:
            return {}
        if not _SUBDOMAIN.fullmatch(line):
            self._problems.append(
                f"{self._stack}: spec.versionsFromFile: {shown(line)} is no name of an object: allowed are lower-case letters, digits, - and ."
            )
        for name, text in versions.items():
            if name not in self._modules:
                self._usable(name, text, f"Versions/{plain(line)}: spec.{plain(name)}")
        self._imported.line, self._imported.versions = line, versions
        self._draft.put(f"versions/{line}.yaml", "versions", source=f"{self._stack}: spec.versionsFromFile")
        if not versions:
            self._draft.configure(
                f"Versions/{line} is not in the files: export it too, and import again",
                f"kubectl get versions.formance.com {line} -o yaml > versions.yaml",
            )
        return versions

    # --- what else --------------------------------------------------------------------------------------------------

    def _needed(self, versions: Mapping[str, Version]) -> None:
        """What modules cannot be without, and no setting names."""
        draft = self._draft
        broker = [name for name in versions if find(name).needs_broker and "broker" not in draft.config]
        temporal = [
            name for name, v in versions.items() if find(name).needs_temporal(v) and "temporal" not in draft.config
        ]
        if broker:
            draft.configure(
                f"there is no setting broker.dsn, and {', '.join(broker)} cannot be without: name the broker",
                draft.set_command("broker.uri", "nats://HOST:4222"),
            )
        if temporal:
            draft.configure(
                f"there is no setting temporal.dsn, and {', '.join(temporal)} cannot be without: name the server and a namespace of it",
                draft.set_command("temporal.address", "HOST:7233"),
                draft.set_command("temporal.namespace", "NAMESPACE"),
            )

    def _memory(self) -> None:
        """The operator limits no memory unless told to; here every container has a limit."""
        modules = self._draft.config["modules"]
        without = [n for n, m in modules.items() if "memory" not in m.get("resources", {}).get("limits", {})]
        if without:
            self._draft.configure(
                f"the operator set no memory limit for {', '.join(sorted(without))}, which get the default's, 256Mi: set "
                "rollout:defaults.resources.limits.memory where they need more",
                f"kubectl -n {self._draft.stack} top pod --containers",
            )

    def _clients(self, given: list[Object]) -> None:
        draft = self._draft
        if "auth" not in self._modules:
            for each in given:
                draft.listed(each, "the stack has no auth")
            return
        callers = [name for name in self._modules if find(name).scopes]
        names = _named(given, callers)
        for each in given:
            self._client(names[each.name], each)
        for name in callers:
            if name not in names.values():
                draft.secret(
                    f"auth-client-{name}", {"secret": '"$(openssl rand -hex 20)"'}, f"the client of {name} gets a new secret, as the operator's is not in the files"
                )  # fmt: skip

    def _client(self, name: str, given: Object) -> None:
        spec, draft = Fields(given, given.spec, self._problems), self._draft
        spec.text("stack")

        def put(value: Any, setting: str) -> None:
            draft.put(value, "modules", "auth", "clients", name, setting, source=given)

        put(spec.text("id") or given.name, "id")
        public = spec.flag("public")
        put(public, "public")
        put(spec.text("description"), "description")
        for setting in ("scopes", "redirectUris", "postLogoutRedirectUris"):
            put(spec.texts(setting), setting)
        by_reference = spec.inside("secretFromSecret")
        own = f"auth-client-{name}"
        if spec.has("secretFromSecret"):
            by_reference.flag("optional")
            put(
                draft.reference(by_reference.text("name"), by_reference.text("key"), f"{given}: spec.secretFromSecret"),
                "secret",
            )
            if spec.text("secret"):
                draft.listed(f"{given}: spec.secret", "secretFromSecret comes first")
        elif spec.text("secret"):
            value = of_object("authclients", given.name, "{.spec.secret}")
            put(draft.made(own, "secret", value, f"{given}: spec.secret"), "secret")
        elif not public:
            why = f"{given} has no secret; here every client that is not public has one"
            put({"name": draft.secret(own, {"secret": '"$(openssl rand -hex 20)"'}, why), "key": "secret"}, "secret")
        for path in spec.unread():
            draft.listed(f"{given}: {path}", "not known here, so nothing was made of it")

    def _nothing_secret(self) -> None:
        """What is still in the settings and looks like a credential is taken out, wherever it came from."""
        # From the end, so that what is taken out of a list moves nothing that is still to come.
        for path, name, value in reversed(list(_texts(self._draft.config, ()))):
            if name in ("uri", "key", "name", "tlsSecret", "pullSecret") or not is_suspect(name, value):
                continue
            place: Any = self._draft.config
            for step in path[:-1]:
                place = place[step]
            del place[path[-1]]
            written = ".".join(map(str, path))
            sources = (s[0] for p, s in self._draft.sources.items() if written.startswith(p) and p.count(".") > 1)
            self._draft.listed(
                f"{next(sources, self._stack)} ({plain(written)})", "it looks like a credential, and was not written"
            )

    # --- what is to be done -------------------------------------------------------------------------------------------

    def _todo(self, has_database: bool) -> Iterator[Step]:
        draft = self._draft
        yield Step("make the stack, which keeps the file that was written", (f"pulumi stack init {draft.stack}",))
        yield Step(
            f"a namespace of its own, {draft.namespace}: what the operator made in {draft.stack} stays its own, and goes when its Stack is deleted",
            (f"kubectl create namespace {draft.namespace}",),
        )
        for secret in draft.secrets.values():
            yield Step(f"Secret {secret.name}: {secret.why}", (secret.command(draft.namespace),))
        yield from draft.settings
        enterprise = sorted(name for name in self._modules if find(name).enterprise or name == "payments")
        if enterprise:
            yield self._licence(enterprise)
        if has_database:
            yield Step(
                "publish the migrator, which makes databases, rehearses and watches migrations, to a registry that the cluster pulls from: write "
                "yours in the first line",
                (
                    "REGISTRY=registry.example.org/rollout",
                    f'docker build -f {MIGRATOR} -t "$REGISTRY/migrator:1" .',
                    'docker push "$REGISTRY/migrator:1"',
                    draft.set_command("migratorImage", '"$REGISTRY/migrator:1"'),
                ),
            )
        for note in draft.notes:
            yield Step(note)

    def _licence(self, modules: list[str]) -> Step:
        draft = self._draft

        def copied(key: str) -> str:
            return f'"$(kubectl -n {draft.stack} get secret "$LICENCE" -o jsonpath=\'{{.data.{key}}}\' | base64 -d)"'

        commands = (
            f"kubectl -n {draft.namespace} create secret generic licence --from-literal=token={copied('token')}",
            draft.set_command("licence.token.name", "licence"),
            draft.set_command("licence.token.key", "token"),
            draft.set_command("licence.issuer", copied("issuer")),
        )
        return Step(
            f"the licence, where the operator runs with one: it is in no object of the stack. Without it {', '.join(modules)} run unlicensed, and "
            "payments from 3.2 on is the image payments instead of payments-ee",
            (
                "LICENCE=$(kubectl get deployments -A -o yaml | sed -nE 's/.*--licence-secret=([^ \"]+).*/\\1/p' | head -1)",
                *(f'test -z "$LICENCE" || {command}' for command in commands),
            ),
        )


def _named(given: list[Object], callers: list[str]) -> dict[str, str]:
    """The client of each AuthClient: the module's, of one that the operator made for a module; else one like its name.

    A name that is too long, has other characters or is taken gets a few digits of its hash, so that no two are one.
    """
    names: dict[str, str] = {}
    for each in given:
        owner = next((kind for kind in each.owners if kind in callers), None)
        if owner and owner not in names.values():
            names[each.name] = owner
    for each in sorted(given, key=lambda o: o.name):
        if each.name in names:
            continue
        plainly = re.sub(r"[^a-z0-9-]+", "-", each.name.lower()).strip("-")
        name = each.name
        if not _CLIENT.fullmatch(name) or name in _MODULES or name in names.values():
            digits = hashlib.sha256(each.name.encode()).hexdigest()[:6]
            name = f"{re.sub(r'^[^a-z]+', '', plainly)[:17].strip('-') or 'client'}-{digits}"
        names[each.name] = name
    return names


def _texts(value: Any, path: tuple[Any, ...]) -> Iterator[tuple[tuple[Any, ...], str, str]]:
    """The texts in some settings: path, the name that the text has, the text."""
    inside: Iterable[tuple[Any, Any]] = ()
    if isinstance(value, dict):
        inside = value.items()
    elif isinstance(value, list):
        inside = enumerate(value)
    elif isinstance(value, str):
        yield path, str(next((p for p in reversed(path) if isinstance(p, str)), "")), value
    for name, each in inside:
        yield from _texts(each, (*path, name))
