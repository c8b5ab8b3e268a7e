"""The navigation, and the pages that follow from the packages: stages, primitives, milestones, needs, changelogs."""

import ast
import json
import re
import sys
from pathlib import Path

from griffe import AliasResolutionError
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.plugins import get_plugin_logger
from mkdocs.structure.files import File, Files, InclusionLevel
from mkdocs.structure.pages import Page
from mkdocstrings import CollectionError

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "docs")]
import names  # noqa: E402
import picture  # noqa: E402
import primitives  # noqa: E402
import stages  # noqa: E402

log = get_plugin_logger("reference")


def description(stage: str) -> str:
    text: str = stages.read(stages.folder(stage) / "pyproject.toml")["project"]["description"]
    return text


def linked(stage: str, readme: str) -> list[str]:
    """The files of the package that its README links to, relative to the package."""
    links = re.findall(r"\]\(([^)#:]+)\)", readme)
    return sorted({link for link in links if (stages.folder(stage) / link).is_file()})


def stage_page(stage: str, readme: str) -> str:
    for link in linked(stage, readme):
        readme = readme.replace(f"]({link})", f"]({stage}/{link})")
    needs = ", ".join(f"[{each}]({each}.md)" for each in stands_on(stage)) or "no other stage"
    return f"{readme}\n\nStands on {needs}.\n\n## Reference\n\n{reference(f'tinytorch.{stage}')}\n"


def stands_on(stage: str) -> list[str]:
    """The stages that it declares, without those that another one of them stands on already."""
    needs = stages.needs(stage)
    below = {each for need in needs for each in stages.closure(need) if each != need}
    return [need for need in needs if need not in below]


def reference(package: str) -> str:
    """The public names of a package, then its public modules, and what a module of the same name hides."""
    parts = []
    for path in names.modules(package):
        deep = path.count(".") - package.count(".")
        parts.append(directive(path, 2 + max(deep, 1), titled=deep > 0))
        for name in names.exported(path):
            if (defined := names.defined(path, name)) != f"{path}.{name}":
                parts.append(directive(defined, 3 + deep, titled=True))
    return "\n\n".join(parts)


def directive(path: str, level: int, titled: bool) -> str:
    """What mkdocstrings replaces by the documentation of a name, under a heading of its own or of its members alone."""
    options = {"heading_level": level, "show_root_heading": titled, "show_root_toc_entry": titled}
    return f"::: {path}\n    options: {json.dumps(options)}"


def milestone_pages() -> str:
    """Each milestone program with its own words: the docstring that heads it."""
    lines = ["# Milestones", "", "Programs that use the stages, in the order of history.", ""]
    for folder in sorted(path for path in (ROOT / "milestones").glob("[0-9]*") if path.is_dir()):
        _, year, *name = folder.name.split("_")
        lines += [f"## {year} {' '.join(name)}", ""]
        for program in sorted(folder.glob("*.py")):
            text = program.read_text(encoding="utf-8")
            if "__main__" in text:  # what only other programs import is no milestone
                words = ast.get_docstring(ast.parse(text)) or ""
                lines += [f"### `{program.name}`", "", words, ""]
    return "\n".join(lines)


def changelogs() -> str:
    """Every package's changelog under one heading each, one level deeper than in its file."""
    parts = ["# Changelogs\n"]
    for stage in stages.order():
        text = (stages.folder(stage) / "CHANGELOG.md").read_text(encoding="utf-8")
        text = re.sub(r"^# .*\n", f"# tinytorch-{stage}\n", text)
        parts.append(re.sub(r"^#", "##", text, flags=re.MULTILINE))
    return "\n".join(parts)


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    config.nav = [
        {"Home": "index.md"},
        {"Chapters": [f"chapters/{path.name}" for path in sorted((ROOT / "docs" / "chapters").glob("*.md"))]},
        {"Stages": [{stage: f"stages/{stage}.md"} for stage in stages.order()]},
        {"Primitives": "primitives.md"},
        {"Milestones": "milestones.md"},
        {"Architecture": "architecture.md"},
        {"Changelogs": "changelogs.md"},
    ]
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    made = {
        "primitives.md": primitives.page(stages.order()),
        "milestones.md": milestone_pages(),
        "changelogs.md": changelogs(),
    }
    for path, content in made.items():
        files.append(File.generated(config, path, content=content))
    for stage in stages.order():
        readme = (stages.folder(stage) / "README.md").read_text(encoding="utf-8")
        files.append(File.generated(config, f"stages/{stage}.md", content=stage_page(stage, readme)))
        for link in linked(stage, readme):
            source = str(stages.folder(stage) / link)
            path = f"stages/{stage}/{link}"
            files.append(File.generated(config, path, abs_src_path=source, inclusion=InclusionLevel.NOT_IN_NAV))
    return files


def on_page_markdown(markdown: str, page: Page, **_: object) -> str:
    if page.file.src_uri == "index.md":
        rows = [f"| [{stage}](stages/{stage}.md) | {description(stage)} |" for stage in stages.order()]
        return "\n".join([markdown, "", "| stage | adds |", "|---|---|", *rows])
    if page.file.src_uri == "architecture.md":
        return f"{markdown}\n\n{picture.draw({stage: stands_on(stage) for stage in stages.order()})}\n"
    return markdown


def on_env(env: object, config: MkDocsConfig, files: Files) -> None:
    """The reference leaves out what has no docstring: a warning names it all, and ends a strict build."""
    python = config.plugins["mkdocstrings"].get_handler("python")

    def words(path: str) -> str:
        try:
            docstring = python.collect(path, python.get_options({})).docstring
        except (CollectionError, AliasResolutionError):  # not found where it is read from: the source, which is not run
            return ""
        return docstring.value if docstring else ""

    public = [path for stage in stages.order() for path in names.modules(f"tinytorch.{stage}")]
    silent = [name for path in public for name in names.undocumented(path, words)]
    if silent:
        log.warning(f"{len(silent)} public names have no docstring that the reference can show: {', '.join(silent)}")
