"""CUDA C++ to C++ for a host compiler: inline PTX, shared variables, and an entry for each kernel.

Works on a source's text, before its preprocessor, and keeps its lines, so that a compiler's message and a
report name the place in the source.
"""

import re

from ptx import Assembly, Unknown, split_list


def masked(source):
    """The source with comments and the insides of strings blank, letter for letter."""
    def blank(found):
        text = found[0]
        if text[0] in "\"'":
            return text[0] + re.sub(r"[^\n]", " ", text[1:-1]) + text[-1]
        return re.sub(r"[^\n]", " ", text)
    return re.sub(r'//[^\n]*|/\*.*?\*/|"(?:[^"\\\n]|\\.)*"|\'(?:[^\'\\\n]|\\.){1,4}\'', blank, source, flags=re.S)


def closing(mask, opened):
    """The place of the bracket that closes the one at `opened`."""
    depth = 0
    for at in range(opened, len(mask)):
        depth += mask[at] in "([{"
        depth -= mask[at] in ")]}"
        if depth == 0:
            return at
    raise Unknown("a bracket that is never closed")


def line_of(source, at):
    return source.count("\n", 0, at) + 1


def assembly_of(source, mask, opened, end, unique):
    """The C++ for the parentheses of one asm statement."""
    sections, begin, depth = [], opened + 1, 0
    for at in range(opened + 1, end + 1):
        depth += mask[at] in "([{"
        depth -= mask[at] in ")]}"
        if at == end or (mask[at] == ":" and depth == 0):
            sections.append((source[begin:at], mask[begin:at]))
            begin = at + 1
    template = "".join(
        piece.encode().decode("unicode_escape") for piece in re.findall(r'"((?:[^"\\]|\\.)*)"', sections[0][0], re.S))
    if re.sub(r'"[^"]*"', "", sections[0][1]).replace("\\", "").strip():
        raise Unknown("asm whose text is not made of plain strings")
    operands, begin, number = {}, [], 0
    for which, section in enumerate(sections[1:3]):
        for operand in split_list(section[0]):
            # A macro's lines end with a backslash.
            operand = re.sub(r"\\\n", " ", operand).strip()
            found = re.fullmatch(r'(?:\[(\w+)\]\s*)?"([^"]*)"\s*\((.*)\)', operand, re.S)
            if not found:
                raise Unknown(f"asm operand {operand}")
            name = f"emulated_{unique}_{number}"
            operands[f"%{number}"] = name
            if found[1]:
                operands[f"%[{found[1]}]"] = name
            expression = found[3].replace("\n", " ")
            begin.append(f"auto &&{name} = ({expression});" if which == 0 else f"const auto {name} = ({expression});")
            number += 1
    body = Assembly(operands, unique).translate(template)
    return "{ " + " ".join(begin) + " " + body + " }"


def replace_assembly(source):
    mask, made, last = masked(source), [], 0
    for number, found in enumerate(re.finditer(r"\b(?:asm|__asm__|__asm)\b\s*(?:(?:volatile|__volatile__)\b\s*)?\(", mask)):
        end = closing(mask, found.end() - 1)
        try:
            text = assembly_of(source, mask, found.end() - 1, end, number)
        except Unknown as problem:
            raise Unknown(f"line {line_of(source, found.start())}: {problem}") from None
        after = re.match(r"\s*;", mask[end + 1:])
        stop = end + 1 + (after.end() if after else 0)
        replaced = source[found.start():stop]
        # Inside a macro, its lines must go on ending with a backslash.
        newline = "\\\n" if "\\\n" in replaced else "\n"
        made += [source[last:found.start()], text, newline * replaced.count("\n")]
        last = stop
    return "".join(made + [source[last:]])


def replace_shared(source):
    """`__shared__ T name[a][b];` becomes a reference to where the emulator has placed it."""
    mask, made, last = masked(source), [], 0
    for found in re.finditer(r"(\bextern\s+)?(?:\bstatic\s+)?\b__shared__\b(\s+\bextern\b)?", mask):
        end = mask.index(";", found.end())
        text = re.sub(r"\s+", " ", source[found.end():end]).strip()
        dynamic = found[1] or found[2]
        aligned = re.findall(r"(?:__align__|alignas)\s*\(([^()]*(?:\([^()]*\))?[^()]*)\)", text)
        text = re.sub(r"(?:__align__|alignas)\s*\([^()]*(?:\([^()]*\))?[^()]*\)", "", text).strip()
        parts = split_list(text)
        first = re.fullmatch(r"(.*?[\s>&*])(\w+)\s*((?:\[.*\])?)", parts[0], re.S)
        if not first or "=" in re.sub(r"\[[^]]*\]|<=|>=|==", "", text):
            raise Unknown(f"line {line_of(source, found.start())}: shared variable {text}")
        kind, alignment = first[1].strip(), aligned[0] if aligned else "1"
        declarations = []
        for part in [f"{first[2]}{first[3]}", *parts[1:]]:
            name, extents = re.fullmatch(r"(\w+)\s*((?:\[.*\])?)", part, re.S).groups()
            if dynamic:
                declarations.append(f"{kind} *const {name} = ({kind} *)emulator::dynamic_shared();")
                continue
            whole = f"emulated<{kind}{extents}>" if extents else f"emulated<{kind}>"
            size = f"({alignment}) > alignof({whole}) ? ({alignment}) : alignof({whole})"
            declarations.append(
                f'static constinit emulator::shared_variable emulated_place_{name}("{name}", sizeof({whole}), {size}); '
                f"{whole} &{name} = *({whole} *)emulator::place(emulated_place_{name});")
        made += [source[last:found.start()], " ".join(declarations), "\n" * source.count("\n", found.start(), end)]
        last = end + 1
    return "".join(made + [source[last:]])


def kernels_of(source):
    """(name, most threads as an expression) of each kernel that is no template."""
    mask, kernels = masked(source), []
    for found in re.finditer(r"\b__global__\b", mask):
        bounds, at = "0", found.end()
        while True:
            word = re.match(r"\s*(__launch_bounds__|__cluster_dims__|__maxnreg__|__block_size__)\s*\(", mask[at:])
            if word:
                end = closing(mask, at + word.end() - 1)
                inside = source[at + word.end():end]
                if word[1] == "__launch_bounds__":
                    bounds = split_list(inside)[0]
                if word[1] == "__cluster_dims__" and {one.strip() for one in inside.split(",")} != {"1"}:
                    raise Unknown(f"line {line_of(source, at)}: clusters of blocks")
                at = end + 1
                continue
            word = re.match(r"\s*(void|static|inline)\b", mask[at:])
            if word:
                at += word.end()
                continue
            break
        name = re.match(r"\s*(\w+)\s*\(", mask[at:])
        if not name:
            raise Unknown(f"line {line_of(source, found.start())}: no name after __global__")
        end = closing(mask, at + name.end() - 1)
        is_template = re.search(r"template\s*<[^;{}]*>\s*$", re.sub(r'extern\s*"[^"]*"|static|inline', "", mask[:found.start()]).rstrip() + " ")
        if re.match(r"\s*\{", mask[end + 1:]) and not is_template:
            kernels.append((name[1], bounds))
    return kernels



def translate(source, name="kernel.cu"):
    """The C++ of a source; raises Unknown with the line of what is not known."""
    source = source.replace("\r\n", "\n")
    kernels = kernels_of(source)
    if not kernels:
        raise Unknown("no kernel in it")
    entries = "\n".join(
        f'extern "C" __attribute__((visibility("default"))) void emulator_kernel_{kernel}(void **arguments) '
        f"{{ emulator::call(emulated_source::{kernel}, arguments); }}\n"
        f'extern "C" __attribute__((visibility("default"))) const unsigned emulator_threads_{kernel} = {bounds};\n'
        f'extern "C" __attribute__((visibility("default"))) const int emulator_parameters_{kernel} = '
        f"emulator::count_parameters(emulated_source::{kernel});"
        for kernel, bounds in kernels)
    text = replace_shared(replace_assembly(source))
    # In a namespace, as it may define what the host's headers have, too; with what it includes ahead of it.
    include = re.compile(r"^[ \t]*#[ \t]*include\b[^\n]*", re.M)
    includes = "\n".join(line.strip() for line in include.findall(text))
    text = include.sub("", text)
    return (f'#include "emulator.h"\n{includes}\nnamespace emulated_source {{\n#line 1 "{name}"\n{text}\n}}\n'
            f"using namespace emulated_source;\n{entries}\n")
