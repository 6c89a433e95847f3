"""Completion in shells: paths of nodes and names of profiles, and the scripts for bash, zsh and fish."""

from __future__ import annotations

import os

import click
from click.shell_completion import (
    BashComplete,
    CompletionItem,
    FishComplete,
    ShellComplete,
    ZshComplete,
    add_completion_class,
    get_completion_class,
    split_arg_string,
)

from txmirror.cli.invocation import Invocation

_VARIABLE = "_TXMIRROR_COMPLETE"
#: bash splits words at colons, which paths have, and replaces only the part after the last one.
_BASH = """\
%(complete_func)s() {
    local line=${COMP_LINE:0:COMP_POINT} word prefix='' kind value
    word=${line##*[[:space:]]}
    if [[ $word =~ ^(.*[:=]) ]]; then prefix=${BASH_REMATCH[1]}; fi
    COMPREPLY=()
    while IFS=, read -r kind value; do
        case $kind in
            dir) compopt -o dirnames ;;
            file) compopt -o default ;;
            plain) printf -v value %%q "$value"; COMPREPLY+=("${value#"$prefix"}") ;;
        esac
    done < <(COMP_WORDS=$line %(complete_var)s=bash_complete "$1" 2>/dev/null)
}
complete -o nosort -F %(complete_func)s %(prog_name)s
"""


def complete_path(ctx: click.Context, _: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Return the paths of nodes that begin with a text. It is silent on failure, and takes at most a second or so."""
    invocation = ctx.find_object(Invocation)
    if invocation is None or not (incomplete == "" or incomplete.startswith("/")):
        return []
    from txmirror.cli.finding import find_paths  # noqa: PLC0415 - it takes long

    return [CompletionItem(path) for path in find_paths(invocation, incomplete or "/")]


#: click's own splits a completion at each comma, and paths and helps may have some.
_FISH = """\
function %(complete_func)s
    set -l response (env %(complete_var)s=fish_complete COMP_WORDS=(commandline -cp) COMP_CWORD=(commandline -t) %(prog_name)s 2>/dev/null)
    for completion in $response
        set -l parts (string split -m 1 "," $completion)
        switch $parts[1]
            case dir
                __fish_complete_directories $parts[2]
            case file
                __fish_complete_path $parts[2]
            case plain
                echo $parts[2]
        end
    end
end
complete --no-files --command %(prog_name)s --arguments "(%(complete_func)s)"
"""

#: That of old versions of click completes nothing at the first time, if zsh finds it by the command's name.
_ZSH = """\
#compdef %(prog_name)s

%(complete_func)s() {
    local -a plain described response
    local kind value text
    (( ! $+commands[%(prog_name)s] )) && return 1
    response=("${(@f)$(env COMP_WORDS="${words[*]}" COMP_CWORD=$((CURRENT-1)) %(complete_var)s=zsh_complete %(prog_name)s 2>/dev/null)}")
    for kind value text in ${response}; do
        case $kind in
            dir) _path_files -/ ;;
            file) _path_files -f ;;
            plain) if [[ $text == _ ]]; then plain+=("$value"); else described+=("$value:$text"); fi ;;
        esac
    done
    if (( $#described )); then
        _describe -V unsorted described -U
    fi
    if (( $#plain )); then
        compadd -U -V unsorted -a plain
    fi
}

if [[ $zsh_eval_context[-1] == loadautofunc ]]; then
    %(complete_func)s "$@"
else
    compdef %(complete_func)s %(prog_name)s
fi
"""


class Bash(BashComplete):
    """Completion in bash of words with colons."""

    source_template = _BASH

    def source(self) -> str:
        """Return the script. It does not look for bash, which may run on another machine."""
        return ShellComplete.source(self)

    def get_completion_args(self) -> tuple[list[str], str]:
        """Return the words before the incomplete one, and that."""
        line = os.environ["COMP_WORDS"]
        words = split_arg_string(line)
        # The command may have variables before it.
        while words and "=" in words[0]:
            del words[0]
        incomplete = "" if line[-1:].isspace() or len(words) < 2 else words.pop()
        return words[1:], incomplete


class Fish(FishComplete):
    """Completion in fish of words with commas."""

    source_template = _FISH


class Zsh(ZshComplete):
    """Completion in zsh."""

    source_template = _ZSH


for _each in (Bash, Fish, Zsh):
    add_completion_class(_each)


@click.command("completion")
@click.argument("shell", metavar="SHELL", type=click.Choice(("bash", "zsh", "fish")))
@click.pass_context
def completion(ctx: click.Context, shell: str) -> int:
    """Print the script for completion in bash, zsh or fish. It completes commands, options, profiles and paths of nodes.

    \b
    bash:  eval "$(txmirror completion bash)"
    zsh:   eval "$(txmirror completion zsh)"
    fish:  txmirror completion fish | source
    """  # noqa: D301 - click wants the character
    kind = get_completion_class(shell)
    assert kind is not None
    click.echo(kind(ctx.find_root().command, {}, "txmirror", _VARIABLE).source())
    return 0


def complete_file(_: click.Context, __: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Let the shell complete the name of a file."""
    return [CompletionItem(incomplete, type="file")]


def complete_profile(_: click.Context, __: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Return the names of profiles that begin with a text. It is silent on failure."""
    from txmirror.cli.profiles import profile_names, profiles_file  # noqa: PLC0415 - it takes long

    try:
        names = profile_names(profiles_file(os.environ))
    except ValueError:
        return []
    return [CompletionItem(name) for name in names if name.startswith(incomplete)]
