#!/usr/bin/env python3
"""Checks that every alert has a severity, a summary, a description and a runbook with a section of its name, a test in which it
fires and one in which it does not, and a row in the README's table; and that commands in runbooks name existing services and keep
the number of replicas. `--table` prints the README's table.
"""

import re
import sys
from pathlib import Path

import yaml

MONITORING = Path(__file__).resolve().parents[1]
PROJECT = MONITORING.parents[1]


def load(folder):
    return {path: yaml.safe_load(path.read_text()) for path in sorted((MONITORING / "prometheus" / folder).glob("*.yml"))}


def alerts():
    """Yields (file, rule) for each alert."""
    for path, rules in load("rules").items():
        for group in rules["groups"]:
            yield from ((path, rule) for rule in group["rules"] if "alert" in rule)


# The prefix of runbook links; Prometheus expands it to a URL from an external label.
RUNBOOKS = "{{ $externalLabels.runbooks_url }}/"


def headings():
    """Maps FILE#HEADING of all runbooks, as in links, to the text below the heading."""
    found = {}
    for path in sorted((MONITORING / "runbooks").glob("*.md")):
        for part in re.split(r"^## ", path.read_text(), flags=re.M)[1:]:
            title, _, text = part.partition("\n")
            found[f"{path.name}#{title.strip().lower()}"] = text.strip()
    return found


def tested_alerts():
    """Returns the names of the alerts that fire in a test, and of those that do not fire in a test."""
    firing, silent = set(), set()
    for path, tests in load("tests").items():
        read = {(path.parent / rules).resolve() for rules in tests["rule_files"]}
        known = {rule["alert"] for rules, rule in alerts() if rules in read}
        for case in (case for test in tests["tests"] for case in test.get("promql_expr_test", [])):
            samples = case.get("exp_samples") or []
            if one := re.search(r'alertname="(\w+)", alertstate="firing"', case["expr"]):
                (firing if samples[0]["value"] > 0 else silent).add(one[1])
            elif 'alertstate="firing"' in case["expr"]:
                fires = {re.search(r'alertname="(\w+)"', sample["labels"])[1] for sample in samples}
                firing |= fires
                silent |= known - fires
    return firing, silent


def services_in_commands():
    """Yields (file, service) for each service in a `docker compose` command of a runbook."""
    options_with_value = {"--since", "--tail", "--scale", "--profile", "--file", "--timeout"}
    for path in sorted((MONITORING / "runbooks").glob("*.md")):
        for command in re.findall(r"docker compose ([^\n`|]+)", path.read_text()):
            words, named = iter(command.split("#")[0].split()), []
            for word in words:
                if word in options_with_value:
                    next(words)
                elif not word.startswith("-"):
                    named.append(word)
            # The first word is the subcommand. After `exec` and `run` the second is the service and the rest its command.
            for service in named[1:2] if named[:1] in (["exec"], ["run"]) else named[1:]:
                yield path, service


def commands_that_reset_replicas():
    """Yields (file, command) for each `docker compose up` that may change the number of replicas. Without --scale it sets one replica
    for each named service, or for all services if it names none.
    """
    scaled = {"vote", "worker", "result"}
    for path in sorted((MONITORING / "runbooks").glob("*.md")):
        for command in re.findall(r"docker compose ((?:--\S+ \S+ )*up\b[^`|#]*)", path.read_text()):
            scaled_services = set(re.findall(r"--scale (\w+)=", command))
            named = set(re.sub(r"--(scale|profile|timeout) \S+|--\S+", "", command).split()) - {"up"}
            if not named or (named & scaled) - scaled_services:
                yield path, " ".join(command.split())


def services():
    files = [PROJECT / "docker-compose.yml", MONITORING / "compose.yml"]
    return {service for path in files for service in yaml.safe_load(path.read_text())["services"]}


def table():
    lines = ["| alert | severity | fires when | runbook |", "|---|---|---|---|"]
    for _, rule in alerts():
        page = f"runbooks/{rule['annotations']['runbook_url'].removeprefix(RUNBOOKS)}"
        when = " ".join(rule["expr"].split()).replace("|", "\\|")
        duration = f", for {rule['for']}" if "for" in rule else ""
        windows = f" {rule['labels']['long']}" if "long" in rule["labels"] else ""
        lines.append(f"| `{rule['alert']}`{windows} | {rule['labels']['severity']} | `{when}`{duration} | [{rule['annotations']['summary']}]({page}) |")
    return "\n".join(lines)


def problems():
    pages, (firing, silent), names, linked = headings(), tested_alerts(), [], set()
    for path, rule in alerts():
        name, annotations = rule["alert"], rule.get("annotations", {})
        names.append(name)
        if rule.get("labels", {}).get("severity") not in {"page", "ticket", "none"}:
            yield f"{name}: its severity must be page, ticket or none"
        for annotation in ("summary", "description", "runbook_url"):
            if not annotations.get(annotation):
                yield f"{name}: it needs a {annotation}"
        link = annotations.get("runbook_url", "").removeprefix(RUNBOOKS)
        if link == annotations.get("runbook_url"):
            yield f"{name}: its runbook_url is {link}; it must begin with {RUNBOOKS}"
        linked.add(link)
        if not link.endswith(f"#{name.lower()}"):
            yield f"{name}: the heading of its runbook must be its name, not {link}"
        if len(pages.get(link, "")) < 80:
            yield f"{name}: {link} does not exist or has no text"
        if name not in firing:
            yield f"{name}: no test in which it fires"
        # The watchdog always fires.
        if name not in silent and name != "Watchdog":
            yield f"{name}: no test in which it does not fire"
    # Several rules can share a name if their labels differ, such as the windows of a burn rate.
    labelled = [(rule["alert"], tuple(sorted(rule.get("labels", {}).items()))) for _, rule in alerts()]
    yield from (f"{name}: two rules with the same labels" for name, labels in {it for it in labelled if labelled.count(it) > 1})
    yield from (f"{page}: no alert links to it" for page in pages.keys() - linked)
    yield from (f"{name}: a test of an unknown alert" for name in (firing | silent) - set(names))
    yield from (f"{path.name}: there is no service {service}" for path, service in services_in_commands() if service not in services())
    yield from (f"{path.name}: `docker compose {command}` may change the number of replicas: name services, and give --scale for vote, worker and result" for path, command in commands_that_reset_replicas())
    if table() not in (MONITORING / "README.md").read_text():
        yield "README.md: the table of alerts is out of date; alerts.py --table prints it"
    # Alerts in Alertmanager's configuration must exist.
    routes = (MONITORING / "alertmanager" / "alertmanager.yml").read_text()
    for matcher in re.findall(r'alertname=~?"([^"]+)"', routes):
        for part in matcher.split("|"):
            if not any(re.fullmatch(part, name) for name in names):
                yield f"alertmanager.yml: there is no alert {part}"


def main():
    if "--table" in sys.argv[1:]:
        print(table())
        return
    found = list(problems())
    print("\n".join(found), end="\n" if found else "")
    print(f"alerts: {len(list(alerts()))} alerts, {len(found)} problems")
    sys.exit(1 if found else 0)


if __name__ == "__main__":
    main()
