"""Inline PTX of one asm statement to C++ (include/emulator/registers.h). Raises Unknown for what it does not know."""

import re

CPP = {"b8": "uint8_t", "u8": "uint8_t", "s8": "int8_t", "b16": "uint16_t", "u16": "uint16_t", "s16": "int16_t",
       "b32": "uint32_t", "u32": "uint32_t", "s32": "int32_t", "b64": "uint64_t", "u64": "uint64_t", "s64": "int64_t",
       "f16": "uint16_t", "bf16": "uint16_t", "f32": "float", "f64": "double", "pred": "bool"}
COMPARE = {"eq": "==", "ne": "!=", "lt": "<", "le": "<=", "gt": ">", "ge": ">=", "lo": "<", "ls": "<=", "hi": ">", "hs": ">="}
BINARY = {"add": "+", "sub": "-", "and": "&", "or": "|", "xor": "^", "mul.lo": "*", "div": "/", "rem": "%"}
SPECIAL = {"%laneid": "emulator::lane_index()", "%warpid": "emulator::warp_index()"}
SPECIAL.update({f"%{of}.{axis}": f"emulator::{call}().{axis}" for axis in "xyz" for of, call in
                (("tid", "thread_index"), ("ctaid", "block_index"), ("ntid", "block_size"), ("nctaid", "grid_size"))})


class Unknown(Exception):
    pass


def split_list(text, separator=","):
    """Parts of a list, brackets of all kinds and strings kept whole."""
    parts, depth, quoted, part, escaped = [], 0, False, "", False
    for letter in text:
        if quoted:
            quoted = letter != '"' or escaped
            escaped = letter == "\\" and not escaped
        elif letter == '"':
            quoted = True
        elif letter in "([{":
            depth += 1
        elif letter in ")]}":
            depth -= 1
        if letter == separator and depth == 0 and not quoted:
            parts.append(part.strip())
            part = ""
        else:
            part += letter
    return parts + [part.strip()] if part.strip() or parts else []


def statements(text):
    """Instructions, labels, and the braces of scopes, in order."""
    text = re.sub(r"//[^\n]*|/\*.*?\*/", " ", text, flags=re.S)
    at = 0
    while at < len(text):
        rest = text[at:]
        begin = re.match(r"\s*([{}]|[A-Za-z_$][\w$]*\s*:(?!:))", rest)
        if begin:
            yield begin[1].strip()
            at += begin.end()
            continue
        end = rest.find(";")
        if end < 0:
            if rest.strip():
                yield rest.strip()
            return
        if rest[:end].strip():
            yield rest[:end].strip()
        at += end + 1


class Assembly:
    """One asm statement: its operands' C++ names, the registers it declares, and the code it becomes."""

    def __init__(self, operands, unique):
        self.operands, self.unique = operands, unique  # "%0", "%[name]" -> C++
        self.registers, self.declared, self.code = {}, [], []

    def value(self, operand):
        operand = operand.strip()
        if operand in self.operands:
            return self.operands[operand]
        if operand in self.registers:
            return self.registers[operand]
        if operand.replace("%%", "%") in SPECIAL:
            return SPECIAL[operand.replace("%%", "%")]
        if re.fullmatch(r"0[fF][0-9a-fA-F]{8}", operand):
            return f"emulator::bits<float>(uint32_t(0x{operand[2:]}))"
        if re.fullmatch(r"-?(0x[0-9a-fA-F]+|\d+)[uU]?", operand):
            return operand
        if re.fullmatch(r"-?\d+\.\d+", operand):
            return operand
        raise Unknown(f"operand {operand}")

    def bits(self, operand, kind):
        if operand.strip() == "_":
            raise Unknown("operand _")
        return f"emulator::bits<{kind}>({self.value(operand)})"

    def set(self, operand, value):
        return "(void)(" + value + ");" if operand.strip() == "_" else f"emulator::set({self.value(operand)}, {value});"

    def listed(self, operand):
        operand = operand.strip()
        return split_list(operand[1:-1]) if operand.startswith("{") else [operand]

    def address(self, operand, kind="uint64_t"):
        inner = re.fullmatch(r"\[(.*)\]", operand.strip(), re.S)
        if not inner:
            raise Unknown(f"address {operand}")
        parts = re.fullmatch(r"(.*?)\s*\+\s*(-?\w+)", inner[1].strip(), re.S)
        base, more = (parts[1], int(parts[2], 0)) if parts else (inner[1], 0)
        return f"({self.bits(base, kind)} + {more})" if more else self.bits(base, kind)

    def memory(self, operand, space):
        if space == "shared":
            return f"emulator::shared_pointer({self.address(operand, 'uint32_t')})"
        return f"emulator::global({self.address(operand)})"

    def declare(self, kind, names):
        for name in split_list(names):
            several = re.fullmatch(r"(\S+?)<(\d+)>", name)
            for one in [f"{several[1]}{i}" for i in range(int(several[2]))] if several else [name]:
                variable = f"emulated_{self.unique}_{re.sub(r'[^A-Za-z0-9_]', '_', one)}"
                if one not in self.registers:
                    self.declared.append(f"{CPP[kind]} {variable}{{}};")
                self.registers[one] = variable

    def translate(self, text):
        for statement in statements(text):
            if statement in "{}":
                continue
            label = re.fullmatch(r"([A-Za-z_$][\w$]*)\s*:", statement)
            if label:
                self.code.append(f"emulated_label_{self.unique}_{label[1].replace('$', '_')}:;")
                continue
            register = re.fullmatch(r"\.reg\s*\.(\w+)\s+(.*)", statement, re.S)
            if register:
                self.declare(register[1], register[2])
                continue
            self.code.append(self.instruction(statement))
        return " ".join(self.declared + self.code)

    def instruction(self, statement):
        guard = re.match(r"@(!?)\s*(\S+)\s+", statement)
        condition = f"if ({guard[1]}({self.value(guard[2])})) " if guard else ""
        whole = statement[guard.end():] if guard else statement
        name, _, rest = re.sub(r"\s+", " ", whole).partition(" ")
        given = split_list(rest)
        if name in ("bra", "bra.uni"):
            return f"{condition}goto emulated_label_{self.unique}_{given[0].replace('$', '_')};"
        for pattern, make in INSTRUCTIONS:
            found = re.fullmatch(pattern, name)
            if found:
                return f"{condition}{{ {make(self, found, given)} }}"
        raise Unknown(f"instruction {name}")


def mma(a, found, given):
    k, kind = int(found[1]), found[2]
    words = k // 2 if kind == "tf32" else k // 4
    d, left, right, c = (a.listed(one) for one in given)
    if (len(d), len(left), len(right), len(c)) != (4, words, words // 2, 4):
        raise Unknown("mma.sync with these operands")
    values = lambda registers: ", ".join(a.bits(one, "uint32_t") for one in registers)  # noqa: E731
    return (f"uint32_t emulated_a[] = {{ {values(left)} }}, emulated_b[] = {{ {values(right)} }};"
            f" float emulated_c[] = {{ {', '.join(a.bits(one, 'float') for one in c)} }};"
            f" emulator::matrix_multiply({k}, emulator::number::{kind}, emulated_a, emulated_b, emulated_c); "
            + " ".join(a.set(one, f"emulated_c[{i}]") for i, one in enumerate(d)))


def load_matrix(a, found, given):
    to = a.listed(given[0])
    return (f"uint32_t emulated_m[4]; emulator::load_matrices({found[1]}, {str(bool(found[2])).lower()}, "
            f"{a.address(given[1], 'uint32_t')}, emulated_m); "
            + " ".join(a.set(one, f"emulated_m[{i}]") for i, one in enumerate(to)))


def store_matrix(a, found, given):
    values = ", ".join(a.bits(one, "uint32_t") for one in a.listed(given[1]))
    return (f"uint32_t emulated_m[] = {{ {values} }}; emulator::store_matrices({found[1]}, "
            f"{str(bool(found[2])).lower()}, {a.address(given[0], 'uint32_t')}, emulated_m);")


def copy_async(a, found, given):
    have = a.bits(given[3], "uint32_t") if len(given) > 3 else given[2]
    return (f"emulator::copy_async_to_shared({a.address(given[0], 'uint32_t')}, {a.memory(given[1], 'global')}, "
            f"{a.value(given[2])}, {have if len(given) > 3 else a.value(given[2])});")


def tensor(a, found, given, load):
    """[map, {coordinates}] among the operands; offsets of columns come last."""
    at = given[1 if load else 0].strip()[1:-1]
    address, coordinates = split_list(at)
    offsets = a.listed(given[3]) if load and len(given) > 3 else []
    ints = ", ".join(a.bits(one, "int32_t") for one in a.listed(coordinates))
    moved = ", ".join(f"static_cast<uint16_t>({a.value(one)})" for one in offsets) or "0"
    begin = f"int emulated_c[] = {{ {ints} }}; uint16_t emulated_o[] = {{ {moved} }};"
    source = f"emulator::global({a.bits(address, 'uint64_t')})"
    if load:
        return (f"{begin} emulator::tensor_load({a.address(given[0], 'uint32_t')}, {source}, emulated_c, emulated_o, "
                f"{a.address(given[2], 'uint32_t')});")
    return f"{begin} emulator::tensor_store({source}, emulated_c, {a.address(given[1], 'uint32_t')});"


def load(a, found, given):
    space, count, kind = found[1], int(found[2] or 1), CPP[found[3]]
    size = {"8": 1, "16": 2, "32": 4, "64": 8}[re.search(r"\d+$", found[3])[0]]
    to = a.listed(given[0])
    return (f"const {kind} *emulated_p = emulator::aligned<{kind}>({a.memory(given[1], space)}, {size * count}); "
            + " ".join(a.set(one, f"emulator::load<{kind}>(emulated_p + {i})") for i, one in enumerate(to)))


def store(a, found, given):
    space, count, kind = found[1], int(found[2] or 1), CPP[found[3]]
    size = {"8": 1, "16": 2, "32": 4, "64": 8}[re.search(r"\d+$", found[3])[0]]
    return (f"{kind} *emulated_p = emulator::aligned<{kind}>({a.memory(given[0], space)}, {size * count}); "
            + " ".join(f"emulator::store<{kind}>(emulated_p + {i}, {a.bits(one, kind)});"
                       for i, one in enumerate(a.listed(given[1]))))


def atomic(a, found, given):
    returns, space, operation, kind = found[1] == "atom", found[2], found[3], CPP[found[4]]
    at, values = (given[1], given[2:]) if returns else (given[0], given[1:])
    function = {"add": "atomicAdd", "min": "atomicMin", "max": "atomicMax", "and": "atomicAnd", "or": "atomicOr",
                "xor": "atomicXor", "exch": "atomicExch", "cas": "atomicCAS"}[operation]
    call = (f"{function}(({kind} *)({a.memory(at, space)}), " + ", ".join(a.bits(one, kind) for one in values) + ")")
    return a.set(given[0], call) if returns else f"{call};"


def compare(a, found, given):
    kind = CPP[found[2]]
    return a.set(given[0], f"({a.bits(given[1], kind)} {COMPARE[found[1]]} {a.bits(given[2], kind)})")


def barrier(call):
    return lambda a, found, given: f"emulator::{call(a, given)};"


SHARED = r"\.shared(?:::c(?:ta|luster))?"
ANY = r"(?:\.\w+(?:::\w+)*)*"
NOTHING = r"fence\S*|membar\S*|griddepcontrol\S*|prefetch\S*|discard\S*|createpolicy\S*|setmaxnreg\S*|" \
          r"mbarrier\.inval\S*|cp\.async\.bulk\.(commit_group|wait_group\S*)|applypriority\S*"
INSTRUCTIONS = [
    (r"mma\.sync\.aligned\.m16n8k(\d+)\.row\.col\.f32\.(f16|bf16|tf32)\.\2\.f32", mma),
    (r"ldmatrix\.sync\.aligned\.m8n8\.x(\d)(\.trans)?" + SHARED + r"\.b16", load_matrix),
    (r"stmatrix\.sync\.aligned\.m8n8\.x(\d)(\.trans)?" + SHARED + r"\.b16", store_matrix),
    (r"cp\.async\.c[ag]" + SHARED + r"\.global(?:\.L2\S*)?", copy_async),
    (r"cp\.async\.commit_group", lambda a, f, g: "emulator::commit_copies();"),
    (r"cp\.async\.wait_group", lambda a, f, g: f"emulator::wait_for_copies({a.value(g[0])});"),
    (r"cp\.async\.wait_all", lambda a, f, g: "emulator::wait_for_all_copies();"),
    (r"cp\.async\.mbarrier\.arrive(\.noinc)?" + ANY, lambda a, f, g:
        f"emulator::barrier_arrive_after_copies({a.address(g[0], 'uint32_t')}, {str(bool(f[1])).lower()});"),
    (r"cp\.async\.bulk\.tensor\.\dd" + SHARED + r"\.global" + ANY, lambda a, f, g: tensor(a, f, g, True)),
    (r"cp\.async\.bulk\.tensor\.\dd\.global" + SHARED + ANY, lambda a, f, g: tensor(a, f, g, False)),
    (r"cp\.async\.bulk" + SHARED + r"\.global" + ANY, lambda a, f, g:
        f"emulator::bulk_load({a.address(g[0], 'uint32_t')}, {a.memory(g[1], 'global')}, "
        f"{a.bits(g[2], 'uint32_t')}, {a.address(g[3], 'uint32_t')});"),
    (r"cp\.async\.bulk\.global" + SHARED + ANY, lambda a, f, g:
        f"emulator::bulk_store((void *){a.memory(g[0], 'global')}, {a.address(g[1], 'uint32_t')}, {a.bits(g[2], 'uint32_t')});"),
    (r"mbarrier\.init" + ANY, lambda a, f, g:
        f"emulator::barrier_begin({a.address(g[0], 'uint32_t')}, {a.bits(g[1], 'uint32_t')});"),
    (r"mbarrier\.arrive\.expect_tx" + ANY, lambda a, f, g:
        a.set(g[0], f"emulator::barrier_arrive({a.address(g[1], 'uint32_t')}, 1, {a.bits(g[2], 'uint32_t')})")),
    (r"mbarrier\.expect_tx" + ANY, lambda a, f, g:
        f"emulator::barrier_expect({a.address(g[0], 'uint32_t')}, {a.bits(g[1], 'uint32_t')});"),
    (r"mbarrier\.arrive" + ANY, lambda a, f, g: a.set(
        g[0], f"emulator::barrier_arrive({a.address(g[1], 'uint32_t')}" +
        (f", {a.bits(g[2], 'uint32_t')}" if len(g) > 2 else "") + ")")),
    (r"mbarrier\.(?:try|test)_wait\.parity" + ANY, lambda a, f, g: a.set(
        g[0], f"emulator::barrier_is_past_parity({a.address(g[1], 'uint32_t')}, {a.bits(g[2], 'uint32_t')})")),
    (r"mbarrier\.(?:try|test)_wait" + ANY, lambda a, f, g: a.set(
        g[0], f"emulator::barrier_is_past({a.address(g[1], 'uint32_t')}, {a.bits(g[2], 'uint64_t')})")),
    (r"bar(?:rier)?(?:\.cta)?\.sync(?:\.aligned)?", lambda a, f, g:
        f"emulator::block_barrier({', '.join(a.bits(one, 'uint32_t') for one in g)});"),
    (r"bar(?:rier)?(?:\.cta)?\.arrive(?:\.aligned)?", lambda a, f, g:
        f"emulator::block_arrive({a.bits(g[0], 'uint32_t')}, {a.bits(g[1], 'uint32_t')});"),
    (r"bar\.warp\.sync", lambda a, f, g: f"emulator::warp_barrier({a.bits(g[0], 'uint32_t')});"),
    (r"activemask\.b32", lambda a, f, g: a.set(g[0], "emulator::living_lanes()")),
    (r"elect\.sync", lambda a, f, g: a.set(g[0].split("|")[-1], f"emulator::elect({a.bits(g[1], 'uint32_t')})")),
    (r"ld(?:\.weak|\.volatile|\.relaxed|\.acquire)?(?:\.gpu|\.cta|\.sys)?\.(global|shared)(?:::cta)?(?:\.(?:nc|ca|cg|cs|lu))*"
     r"(?:\.L\d::\w+)*(?:\.v(\d))?\.(\w+)", load),
    (r"st(?:\.weak|\.volatile|\.relaxed|\.release)?(?:\.gpu|\.cta|\.sys)?\.(global|shared)(?:::cta)?(?:\.(?:wb|cg|cs|wt))*"
     r"(?:\.L\d::\w+)*(?:\.v(\d))?\.(\w+)", store),
    (r"(atom|red)(?:\.(?:relaxed|acquire|release|acq_rel|gpu|cta|sys))*(?:\.(global|shared)(?:::cta)?)?"
     r"(?:\.(?:relaxed|acquire|release|acq_rel|gpu|cta|sys))*\.(\w+)\.(\w+)", atomic),
    (r"setp\.(\w+)\.(\w+)", compare),
    (r"selp\.(\w+)", lambda a, f, g:
        a.set(g[0], f"({a.value(g[3])} ? {a.bits(g[1], CPP[f[1]])} : {a.bits(g[2], CPP[f[1]])})")),
    (r"mov\.(\w+)", lambda a, f, g: a.set(g[0], a.bits(g[1], CPP[f[1]]))),
    (r"(add|sub|and|or|xor|mul\.lo|div|rem)\.(?:rn\.|ftz\.)*(\w+)", lambda a, f, g: a.set(
        g[0], f"{CPP[f[2]]}({a.bits(g[1], CPP[f[2]])} {BINARY[f[1]]} {a.bits(g[2], CPP[f[2]])})")),
    (r"(shl|shr)\.(\w+)", lambda a, f, g: a.set(
        g[0], f"({a.bits(g[1], CPP[f[2]])} {'<<' if f[1] == 'shl' else '>>'} {a.bits(g[2], 'uint32_t')})")),
    (r"fma\.rn\.(?:ftz\.)?f32", lambda a, f, g:
        a.set(g[0], f"fmaf({', '.join(a.bits(one, 'float') for one in g[1:])})")),
    (r"(max|min)\.(?:ftz\.)?NaN\.f32", lambda a, f, g:
        a.set(g[0], f"emulator::nan_{f[1]}({a.bits(g[1], 'float')}, {a.bits(g[2], 'float')})")),
    (r"(max|min)\.(?:ftz\.)?f32", lambda a, f, g:
        a.set(g[0], f"f{f[1]}f({a.bits(g[1], 'float')}, {a.bits(g[2], 'float')})")),
    (r"tanh\.approx\.f32", lambda a, f, g: a.set(g[0], f"tanhf({a.bits(g[1], 'float')})")),
    (r"ex2\.approx(?:\.ftz)?\.f32", lambda a, f, g: a.set(g[0], f"exp2f({a.bits(g[1], 'float')})")),
    (r"lg2\.approx(?:\.ftz)?\.f32", lambda a, f, g: a.set(g[0], f"log2f({a.bits(g[1], 'float')})")),
    (r"rcp\.(?:approx|rn)(?:\.ftz)?\.f32", lambda a, f, g: a.set(g[0], f"(1.0f / {a.bits(g[1], 'float')})")),
    (r"rsqrt\.approx(?:\.ftz)?\.f32", lambda a, f, g: a.set(g[0], f"(1.0f / sqrtf({a.bits(g[1], 'float')}))")),
    (r"cvt\.rna\.tf32\.f32", lambda a, f, g: a.set(g[0], f"emulator::round_to_tf32({a.bits(g[1], 'float')})")),
    (r"cvt\.rn\.(f16|bf16)x2\.f32", lambda a, f, g: a.set(
        g[0], f"emulator::pack_{f[1]}({a.bits(g[1], 'float')}, {a.bits(g[2], 'float')})")),
    (r"cvt\.rn\.(f16|bf16)\.f32", lambda a, f, g: a.set(
        g[0], f"uint16_t(emulator::pack_{f[1]}(0.0f, {a.bits(g[1], 'float')}))")),
    (r"cvt\.f32\.f16", lambda a, f, g: a.set(g[0], f"(float)__builtin_bit_cast(_Float16, uint16_t({a.bits(g[1], 'uint16_t')}))")),
    (r"cvta\.to\.shared\.u64", lambda a, f, g:
        a.set(g[0], f"uint64_t(emulator::shared_address(emulator::global({a.bits(g[1], 'uint64_t')})))")),
    (r"cvta\.to\.global\.u64", lambda a, f, g: a.set(g[0], a.bits(g[1], "uint64_t"))),
    (r"cvt\.(u32|u64|s32|s64)\.(u32|u64|s32|s64)", lambda a, f, g:
        a.set(g[0], f"{CPP[f[1]]}({a.bits(g[1], CPP[f[2]])})")),
    (r"nanosleep\.u32", lambda a, f, g: "emulator::yield();"),
    (r"trap", lambda a, f, g: "__trap();"),
    (NOTHING, lambda a, f, g: ""),
]
