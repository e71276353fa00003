"""What libseccomp makes of a profile: JSON on standard input, the program on standard output.

With the argument `numbers` instead: each call's number by architecture, for the names on standard input.
"""

import json
import sys

import seccomp

ACTIONS = {
    "SCMP_ACT_KILL": seccomp.KILL,
    "SCMP_ACT_KILL_THREAD": seccomp.KILL,
    "SCMP_ACT_KILL_PROCESS": seccomp.KILL_PROCESS,
    "SCMP_ACT_TRAP": seccomp.TRAP,
    "SCMP_ACT_LOG": seccomp.LOG,
    "SCMP_ACT_ALLOW": seccomp.ALLOW,
}
OPERATORS = {
    "SCMP_CMP_NE": seccomp.NE,
    "SCMP_CMP_LT": seccomp.LT,
    "SCMP_CMP_LE": seccomp.LE,
    "SCMP_CMP_EQ": seccomp.EQ,
    "SCMP_CMP_GE": seccomp.GE,
    "SCMP_CMP_GT": seccomp.GT,
    "SCMP_CMP_MASKED_EQ": seccomp.MASKED_EQ,
}


def architecture(name):
    return getattr(seccomp.Arch, name.removeprefix("SCMP_ARCH_"))


def action(name, errno):
    if name == "SCMP_ACT_ERRNO":
        return seccomp.ERRNO(errno or 1)
    if name == "SCMP_ACT_TRACE":
        return seccomp.TRACE(errno or 1)
    return ACTIONS[name]


def argument(arg):
    return seccomp.Arg(arg["index"], OPERATORS[arg["op"]], arg["value"], arg.get("valueTwo") or 0)


def numbers(names, architectures):
    for name in names:
        for known in architectures:
            number = seccomp.resolve_syscall(architecture(known), name)
            print(known, name, number)


def program(profile):
    default = action(profile["defaultAction"], profile.get("defaultErrnoRet"))
    result = seccomp.SyscallFilter(default)
    architectures = [architecture(name) for name in profile["architectures"]]
    for known in architectures:
        if not result.exist_arch(known):
            result.add_arch(known)
    native = int(seccomp.Arch())
    if native not in architectures:
        result.remove_arch(native)
    for rule in profile["syscalls"]:
        said = action(rule["action"], rule.get("errnoRet"))
        args = [argument(arg) for arg in rule.get("args") or []]
        for name in rule["names"]:
            if said != default and seccomp.resolve_syscall(native, name) != -1:
                result.add_rule(said, name, *args)
    result.export_bpf(sys.stdout.buffer)


if sys.argv[1:2] == ["numbers"]:
    numbers(sys.stdin.read().split(), sys.argv[2:])
else:
    program(json.load(sys.stdin))
