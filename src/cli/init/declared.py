"""Lists the options that a Python script declares, as JSON. Run by `swath init`.

usage: python declared.py SCRIPT

The script is parsed, and not run. Understands argparse, click, typer, Hydra, tyro, jsonargparse and
LightningCLI, HfArgumentParser, absl flags and fire. Works with Python 3.7 and later, and needs no
package; PyYAML reads a Hydra configuration better than the few lines here.
"""

import ast
import json
import os
import re
import sys

UNKNOWN = object()


class Script:
    """A parsed script with what it declares."""

    def __init__(self, path):
        self.path = path
        with open(path, "rb") as file:
            self.tree = ast.parse(file.read(), path)
        self.constants = {}
        self.functions = {}
        self.classes = {}
        self.imports = {}
        self.style = None
        self.options = []
        self.left_out = []
        self.metrics = []
        for node in ast.walk(self.tree):
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                self.functions.setdefault(node.name, node)
            elif isinstance(node, ast.ClassDef):
                self.classes.setdefault(node.name, node)
            elif isinstance(node, ast.Import):
                for alias in node.names:
                    self.imports[alias.asname or alias.name.split(".")[0]] = alias.name
            elif isinstance(node, ast.ImportFrom):
                for alias in node.names:
                    self.imports[alias.asname or alias.name] = f"{node.module}.{alias.name}"
        for node in self.tree.body:
            if isinstance(node, ast.Assign) and len(node.targets) == 1:
                if isinstance(node.targets[0], ast.Name):
                    value = self.value(node.value)
                    if value is not UNKNOWN:
                        self.constants[node.targets[0].id] = value

    def value(self, node):
        """Returns the value of a constant expression, or UNKNOWN."""
        if node is None:
            return None
        if isinstance(node, ast.Name):
            return self.constants.get(node.id, UNKNOWN)
        if isinstance(node, ast.BinOp):
            left, right = self.value(node.left), self.value(node.right)
            if not all(type(side) in (int, float) for side in (left, right)):
                return UNKNOWN
            try:
                if isinstance(node.op, ast.Mult):
                    return left * right
                if isinstance(node.op, ast.Div):
                    return left / right
                if isinstance(node.op, ast.Add):
                    return left + right
                if isinstance(node.op, ast.Sub):
                    return left - right
                if isinstance(node.op, ast.Pow) and abs(right) < 64:
                    return left**right
            except (ArithmeticError, ValueError):
                pass
            return UNKNOWN
        if isinstance(node, (ast.List, ast.Tuple)):
            values = [self.value(element) for element in node.elts]
            return UNKNOWN if UNKNOWN in values else values
        try:
            return ast.literal_eval(node)
        except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
            return UNKNOWN

    def called(self, node):
        """Returns the dotted name of what a call calls, with imports resolved."""
        words = []
        node = node.func if isinstance(node, ast.Call) else node
        while isinstance(node, ast.Attribute):
            words.append(node.attr)
            node = node.value
        if isinstance(node, ast.Name):
            words.append(self.imports.get(node.id, node.id))
        return ".".join(reversed(words))

    def add(self, name, flag, line, **option):
        """Adds an option once; the first declaration of a name counts."""
        if not any(other["name"] == name for other in self.options):
            self.options.append(dict(option, name=name, flag=flag, line=line))

    def leave_out(self, name, why, line):
        if not any(other["name"] == name for other in self.left_out):
            self.left_out.append({"name": name, "why": why, "line": line})

    def use(self, style):
        self.style = self.style or style


def keywords(call):
    return {keyword.arg: keyword.value for keyword in call.keywords if keyword.arg}


def kind_of_default(default):
    if isinstance(default, bool):
        return "bool"
    return {int: "int", float: "float", str: "text", list: "list"}.get(type(default))


def described(script, name, flag, line, kind, default, choices=None, **more):
    """Adds an option with a value, or says why it is left out."""
    if choices is not None and choices is not UNKNOWN and choices:
        return script.add(
            name, flag, line, kind="choice", choices=list(choices), default=plain(default), **more
        )
    if choices is UNKNOWN:
        return script.leave_out(name, "its choices are computed when the script runs", line)
    if default is UNKNOWN:
        return script.leave_out(name, "its default is computed when the script runs", line)
    kind = kind or kind_of_default(default)
    if default is None:
        why = "it is required" if more.get("required") else "it has no default"
        return script.leave_out(name, why + "; give it a range or a value", line)
    if kind in ("int", "float") and isinstance(default, str):
        try:
            default = int(default) if kind == "int" else float(default)
        except ValueError:
            return script.leave_out(name, f"its default {default!r} is no number", line)
    if kind == "float" and isinstance(default, int) and not isinstance(default, bool):
        default = float(default)
    if kind in ("int", "float", "bool", "list"):
        return script.add(name, flag, line, kind=kind, default=default, **more)
    return script.leave_out(name, "it is a text; give it choices or a value", line)


def plain(value):
    return None if value is UNKNOWN else value


# argparse -----------------------------------------------------------------------------------------

TYPES = {"int": "int", "float": "float", "str": "text", "bool": "bool", "builtins.int": "int"}


def argparse_option(script, call):
    named = keywords(call)
    flags = [script.value(argument) for argument in call.args]
    if not flags or not all(isinstance(flag, str) for flag in flags):
        return
    script.use("argparse")
    line = call.lineno
    long = [flag for flag in flags if flag.startswith("--")]
    action = script.value(named["action"]) if "action" in named else None
    if action is UNKNOWN:
        action = script.called(named["action"]).split(".")[-1]
    if action in ("help", "version"):
        return
    if not flags[0].startswith("-"):
        return script.leave_out(flags[0], "it is positional; write it into the command", line)
    if not long:
        return script.leave_out(flags[0], "it has only a short form", line)
    flag, name = long[0], long[0][2:]
    default = script.value(named.get("default"))
    if action in ("store_true", "store_false"):
        return script.add(name, flag, line, kind="switch", default=action == "store_false")
    if action == "BooleanOptionalAction":
        return script.add(name, flag, line, kind="pair", default=bool(plain(default)))
    if action in ("append", "extend"):
        return script.leave_out(name, "it is given several times", line)
    if action in ("count", "store_const", "append_const"):
        return script.leave_out(name, f"its action is {action}", line)
    kind = None
    if "type" in named:
        called = script.called(named["type"])
        kind = TYPES.get(called)
        if kind == "bool":
            why = (
                "`type=bool` makes every text true, `False` too; "
                "use action=argparse.BooleanOptionalAction"
            )
            return script.leave_out(name, why, line)
        if kind is None:
            kind = kind_of_default(plain(default))
    if named.get("nargs") is not None and script.value(named["nargs"]) != "?":
        return script.leave_out(name, "it takes several values (nargs)", line)
    choices = script.value(named["choices"]) if "choices" in named else None
    if choices is UNKNOWN and isinstance(named["choices"], ast.Call):
        bounds = [script.value(argument) for argument in named["choices"].args]
        if script.called(named["choices"]) == "range" and UNKNOWN not in bounds:
            choices = list(range(*bounds))
    required = script.value(named.get("required")) is True
    described(script, name, flag, line, kind, default, choices, required=required)


# click --------------------------------------------------------------------------------------------


def click_option(script, call):
    script.use("click")
    named = keywords(call)
    flags = [script.value(argument) for argument in call.args]
    long = [flag for flag in flags if isinstance(flag, str) and flag.startswith("--")]
    if not long:
        return
    line = call.lineno
    default = script.value(named.get("default"))
    if "/" in long[0]:
        on, off = [word.strip() for word in long[0].split("/")[:2]]
        return script.add(on[2:], on, line, kind="pair", off=off, default=bool(plain(default)))
    flag, name = long[0], long[0][2:]
    if script.value(named.get("is_flag")) is True:
        return script.add(name, flag, line, kind="switch", default=bool(plain(default)))
    if script.value(named.get("multiple")) is True:
        return script.leave_out(name, "it is given several times (multiple)", line)
    if script.value(named.get("nargs")) not in (None, 1):
        return script.leave_out(name, "it takes several values (nargs)", line)
    kind, choices, bounds = None, None, {}
    declared = named.get("type")
    if isinstance(declared, ast.Call):
        called = script.called(declared).split(".")[-1]
        arguments = [script.value(argument) for argument in declared.args]
        within = {key: script.value(value) for key, value in keywords(declared).items()}
        if called == "Choice":
            choices = arguments[0] if arguments else UNKNOWN
        elif called in ("IntRange", "FloatRange"):
            kind = "int" if called == "IntRange" else "float"
            low = arguments[0] if arguments else within.get("min")
            high = arguments[1] if len(arguments) > 1 else within.get("max")
            bounds = {"low": plain(low), "high": plain(high)}
    elif declared is not None:
        word = script.called(declared).split(".")[-1]
        kind = TYPES.get(word) or {"INT": "int", "FLOAT": "float", "BOOL": "bool"}.get(word)
        if kind is None and isinstance(declared, (ast.List, ast.Tuple)):
            choices = script.value(declared)
    required = script.value(named.get("required")) is True
    described(script, name, flag, line, kind, default, choices, required=required, **bounds)


# Functions and classes whose parameters are options ----------------------------------------------


def annotation(script, node):
    """Returns the kind and the choices of an annotation."""
    if node is None:
        return None, None
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        try:
            node = ast.parse(node.value, mode="eval").body
        except SyntaxError:
            return None, None
    if isinstance(node, ast.Name):
        enum = script.classes.get(node.id)
        if enum is not None and any("Enum" in script.called(base) for base in enum.bases):
            values = [
                script.value(item.value)
                for item in enum.body
                if isinstance(item, ast.Assign) and len(item.targets) == 1
            ]
            return None, values
        return TYPES.get(node.id), None
    if isinstance(node, ast.Subscript):
        word = script.called(node.value).split(".")[-1]
        inner = node.slice
        inner = getattr(inner, "value", inner) if type(inner).__name__ == "Index" else inner
        if word == "Literal":
            values = script.value(inner)
            return None, values if isinstance(values, list) else [values]
        if word in ("Optional", "Annotated"):
            first = inner.elts[0] if isinstance(inner, ast.Tuple) else inner
            return annotation(script, first)
        if word in ("list", "List", "tuple", "Tuple", "Sequence"):
            return "list", None
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr):
        return annotation(script, node.left)
    return None, None


def parameters(script, function):
    """Yields name, annotation, default and line of a function's parameters."""
    arguments = function.args
    positional = list(getattr(arguments, "posonlyargs", [])) + list(arguments.args)
    missing = len(positional) - len(arguments.defaults)
    defaults = [None] * missing + list(arguments.defaults)
    pairs = list(zip(positional, defaults)) + list(zip(arguments.kwonlyargs, arguments.kw_defaults))
    for argument, default in pairs:
        if argument.arg not in ("self", "cls"):
            yield argument.arg, argument.annotation, default, argument.lineno


def fields(script, declared):
    """Yields name, annotation, default and line of a dataclass's fields."""
    for base in declared.bases:
        if isinstance(base, ast.Name) and base.id in script.classes:
            yield from fields(script, script.classes[base.id])
    for item in declared.body:
        if isinstance(item, ast.AnnAssign) and isinstance(item.target, ast.Name):
            yield item.target.id, item.annotation, item.value, item.lineno


def members(script, node, prefix, dashes, boolean, nested):
    """Adds the parameters of a function, or the fields or `__init__` of a class, as options."""
    if isinstance(node, ast.ClassDef):
        rows = list(fields(script, node))
        inits = [i for i in node.body if isinstance(i, ast.FunctionDef) and i.name == "__init__"]
        if not rows and inits:
            rows = list(parameters(script, inits[0]))
    else:
        rows = list(parameters(script, node))
    for name, declared, default, line in rows:
        shown = prefix + (name.replace("_", "-") if dashes else name)
        inner = declared if isinstance(declared, ast.Name) else None
        if nested and inner is not None and inner.id in script.classes:
            kind, choices = annotation(script, declared)
            if choices is None:
                members(script, script.classes[inner.id], shown + ".", dashes, boolean, nested)
                continue
        parameter(script, shown, "--" + shown, declared, default, line, boolean)


def parameter(script, name, flag, declared, default, line, boolean):
    kind, choices = annotation(script, declared)
    more = {}
    if isinstance(default, ast.Call):
        called = script.called(default).split(".")[-1]
        named = keywords(default)
        if called in ("field", "Field", "HfArg"):
            if "default_factory" in named:
                return script.leave_out(name, "its default is made by a function", line)
            default = named.get("default")
        elif called in ("Option", "Argument"):
            if called == "Argument":
                return script.leave_out(name, "it is positional; write it into the command", line)
            more = {"low": plain(script.value(named.get("min"))),
                    "high": plain(script.value(named.get("max")))}
            flags = [script.value(argument) for argument in default.args[1:]]
            flags = [f for f in flags if isinstance(f, str) and f.startswith("--")]
            if flags:
                flag = flags[0].split("/")[0]
                name = flag[2:]
            default = default.args[0] if default.args else named.get("default")
    value = script.value(default)
    if value is Ellipsis:
        value = None
    if kind is None and choices is None:
        kind = kind_of_default(plain(value))
    if kind == "bool":
        if value is UNKNOWN or value is None:
            return script.leave_out(name, "its default is not known", line)
        return script.add(name, flag, line, kind=boolean, default=bool(value))
    described(script, name, flag, line, kind, value, choices, **more)


def typer_commands(script):
    """Yields the functions that typer turns into commands."""
    for node in ast.walk(script.tree):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            for decorator in node.decorator_list:
                if isinstance(decorator, ast.Call) and script.called(decorator).endswith(".command"):
                    yield node
        elif isinstance(node, ast.Call) and script.called(node) == "typer.run" and node.args:
            function = script.functions.get(getattr(node.args[0], "id", None))
            if function is not None:
                yield function


def annotated_default(node):
    """Returns the `typer.Option(...)` of an `Annotated[...]`."""
    if isinstance(node, ast.Subscript) and getattr(node.value, "id", "") == "Annotated":
        inner = node.slice
        inner = getattr(inner, "value", inner) if type(inner).__name__ == "Index" else inner
        if isinstance(inner, ast.Tuple):
            return next((e for e in inner.elts[1:] if isinstance(e, ast.Call)), None)
    return None


def typer_options(script, function):
    script.use("typer")
    for name, declared, default, line in parameters(script, function):
        extra = annotated_default(declared)
        has_option = isinstance(default, ast.Call) or extra is not None
        if default is None and not has_option:
            script.leave_out(name, "it is positional; write it into the command", line)
            continue
        flag = "--" + name.replace("_", "-")
        if extra is not None and script.called(extra).endswith("Option"):
            flags = [script.value(argument) for argument in extra.args]
            flags = [f for f in flags if isinstance(f, str) and f.startswith("--")]
            flag = flags[0].split("/")[0] if flags else flag
        parameter(script, flag[2:], flag, declared, default, line, "pair")


# absl, Hydra, and the training arguments of transformers -----------------------------------------

ABSL = {
    "DEFINE_float": "float",
    "DEFINE_integer": "int",
    "DEFINE_bool": "bool",
    "DEFINE_boolean": "bool",
    "DEFINE_string": "text",
    "DEFINE_enum": "choice",
    "DEFINE_list": "several",
    "DEFINE_multi_string": "several",
    "DEFINE_multi_integer": "several",
    "DEFINE_multi_float": "several",
}


def absl_flag(script, call, kind):
    script.use("absl")
    named = keywords(call)
    arguments = list(call.args) + [None] * 3
    name = script.value(arguments[0] if call.args else named.get("name"))
    default = script.value(arguments[1] if len(call.args) > 1 else named.get("default"))
    if not isinstance(name, str):
        return
    line, flag = call.lineno, "--" + name
    if kind == "bool":
        return script.add(name, flag, line, kind="pair", off="--no" + name, default=bool(plain(default)))
    if kind == "several":
        return script.leave_out(name, "it takes several values", line)
    choices = None
    if kind == "choice":
        choices = script.value(arguments[2] if len(call.args) > 2 else named.get("enum_values"))
        kind = None
    described(script, name, flag, line, kind, default, choices)


# The defaults of transformers.TrainingArguments that people tune.
TRAINING_ARGUMENTS = [
    ("learning_rate", "float", 5e-5),
    ("per_device_train_batch_size", "int", 8),
    ("num_train_epochs", "float", 3.0),
    ("weight_decay", "float", 0.0),
    ("warmup_ratio", "float", 0.0),
]


def dataclass_arguments(script, call):
    """The options of ``HfArgumentParser((A, B))``."""
    script.use("transformers")
    if not call.args:
        return
    first = call.args[0]
    for node in first.elts if isinstance(first, (ast.Tuple, ast.List)) else [first]:
        name = script.called(node)
        if name in script.classes:
            members(script, script.classes[name], "", False, "text_bool", False)
        elif name.split(".")[-1].endswith("TrainingArguments"):
            for field, kind, default in TRAINING_ARGUMENTS:
                script.add(field, "--" + field, call.lineno, kind=kind, default=default)
            script.leave_out(
                "output_dir", "it is a folder; the command has {trial_dir}/output", call.lineno
            )


def lightning_classes(script, call):
    """The options of ``LightningCLI(Model, Data)``."""
    script.use("lightning")
    named = keywords(call)
    given = list(call.args) + [None, None]
    for node, prefix in (
        (given[0] or named.get("model_class"), "model."),
        (given[1] or named.get("datamodule_class"), "data."),
    ):
        declared = script.classes.get(getattr(node, "id", None)) if node is not None else None
        if declared is not None:
            members(script, declared, prefix, False, "text_bool", False)
    script.add("trainer.max_epochs", "--trainer.max_epochs", call.lineno, kind="int", default=10)


def function_or_class(script, call, style, dashes, boolean):
    """The options of ``tyro.cli(f)``, ``CLI(f)`` and ``fire.Fire(f)``."""
    script.use(style)
    name = script.called(call.args[0]) if call.args else None
    node = script.functions.get(name) or script.classes.get(name)
    if node is not None:
        members(script, node, "", dashes, boolean, True)


def hydra_config(script, call):
    script.use("hydra")
    named = keywords(call)
    arguments = [script.value(argument) for argument in call.args]
    folder = script.value(named.get("config_path")) if "config_path" in named else (
        arguments[0] if arguments else None
    )
    name = script.value(named.get("config_name")) if "config_name" in named else (
        arguments[1] if len(arguments) > 1 else None
    )
    if not isinstance(name, str):
        return
    name = name if name.endswith((".yaml", ".yml")) else name + ".yaml"
    folder = os.path.join(os.path.dirname(script.path), folder if isinstance(folder, str) else "")
    path = os.path.join(folder, name)
    try:
        with open(path, encoding="utf-8") as file:
            config = yaml(file.read())
    except (OSError, ValueError) as error:
        return script.leave_out(name, f"the configuration could not be read: {error}", call.lineno)
    flat_config(script, config, "", call.lineno)
    groups(script, config, folder, call.lineno)


def groups(script, config, folder, line):
    """Adds a choice for every group of the defaults list that has several files."""
    for entry in config.get("defaults") or []:
        if not isinstance(entry, dict) or len(entry) != 1:
            continue
        (group, chosen), = entry.items()
        group = str(group).replace("override ", "").lstrip("/")
        if group.startswith("hydra"):
            continue
        try:
            files = sorted(os.listdir(os.path.join(folder, group)))
        except OSError:
            continue
        names = [os.path.splitext(f)[0] for f in files if f.endswith((".yaml", ".yml"))]
        if len(names) > 1:
            script.add(group, group, line, kind="choice", choices=names, default=chosen)


def flat_config(script, config, prefix, line):
    for key, value in config.items():
        name = f"{prefix}{key}"
        if name in ("defaults", "hydra") or str(key).startswith("_"):
            continue
        if isinstance(value, dict):
            flat_config(script, value, name + ".", line)
        elif isinstance(value, str) or value is None:
            script.leave_out(name, "it is a text; give it choices or a value", line)
        elif isinstance(value, list):
            script.leave_out(name, "it is a list", line)
        else:
            kind = kind_of_default(value)
            script.add(name, name, line, kind="text_bool" if kind == "bool" else kind, default=value)


def yaml(text):
    """Reads YAML: with PyYAML if it is installed, else nested keys with scalars only."""
    try:
        import yaml as library

        read = library.safe_load(text)
        return read if isinstance(read, dict) else {}
    except ImportError:
        pass
    except Exception as error:
        raise ValueError(str(error).splitlines()[0])
    root = {}
    stack = [(-1, root)]
    for row in text.splitlines():
        match = re.match(r"( *)([\w.-]+):(?:\s+([^#]*?))?\s*(?:#.*)?$", row)
        if not match:
            continue
        indent = len(match.group(1))
        while indent <= stack[-1][0]:
            stack.pop()
        if match.group(3) in (None, ""):
            stack[-1][1][match.group(2)] = inner = {}
            stack.append((indent, inner))
        else:
            stack[-1][1][match.group(2)] = scalar(match.group(3))
    return root


def scalar(text):
    if text in ("true", "false"):
        return text == "true"
    if text in ("null", "~"):
        return None
    for convert in (int, float):
        try:
            return convert(text)
        except ValueError:
            pass
    return text.strip("'\"")


# Metrics ------------------------------------------------------------------------------------------

LABEL = re.compile(r"([A-Za-z][\w/ .-]{0,40}?)\s*[:=]\s*$")
LOGGERS = {
    "log": 0, "log_metric": 0, "add_scalar": 0, "log_scalar": 0,
}


def printed_metrics(script, call):
    """Adds the labels of numbers that a script prints: ``print(f"val_loss={loss:.3f}")``."""
    for argument in call.args:
        if isinstance(argument, ast.JoinedStr):
            before = ""
            for piece in argument.values:
                if isinstance(piece, ast.Constant):
                    before += str(piece.value)
                elif isinstance(piece, ast.FormattedValue):
                    # A number or a comma ends what belongs to the value before.
                    own = re.split(r"[,;|\n\t]|\d+\s+", before)[-1]
                    label = LABEL.search(own)
                    if label:
                        metric(script, label.group(1), "printed", call.lineno, own)
                    before = ""
        elif isinstance(argument, ast.Constant) and isinstance(argument.value, str):
            label = LABEL.search(argument.value)
            if label and len(call.args) > 1:
                metric(script, label.group(1), "printed", call.lineno, argument.value)
    for node in ast.walk(call):
        # "loss: %.3f" % loss, and "loss: {:.3f}".format(loss)
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            for label in re.finditer(r"([A-Za-z][\w/.-]*)\s*[:=]\s*(?:%|\{)", node.value):
                metric(script, label.group(1), "printed", call.lineno, label.group(0)[:-1])


def metric(script, name, how, line, text=None):
    name = name.strip()
    if name and not any(other["name"] == name for other in script.metrics):
        script.metrics.append({"name": name, "how": how, "line": line, "text": text})


def logged_metrics(script, call, called):
    word = called.split(".")[-1]
    if called in ("swath.report", "trial.report"):
        for keyword in call.keywords:
            if keyword.arg and keyword.arg != "wait":
                metric(script, keyword.arg, "reported", call.lineno)
    if word in LOGGERS and call.args:
        name = script.value(call.args[0])
        if isinstance(name, str):
            metric(script, name, "logged", call.lineno)
        elif isinstance(call.args[0], ast.Dict):
            for key in call.args[0].keys:
                name = script.value(key) if key is not None else None
                if isinstance(name, str):
                    metric(script, name, "logged", call.lineno)


def read(path):
    script = Script(path)
    for node in ast.walk(script.tree):
        if not isinstance(node, ast.Call):
            continue
        called = script.called(node)
        word = called.split(".")[-1]
        if word == "add_argument":
            argparse_option(script, node)
        elif called.startswith("click") and word == "option":
            click_option(script, node)
        elif called.startswith("click") and word == "argument":
            script.use("click")
            name = script.value(node.args[0]) if node.args else "argument"
            script.leave_out(str(name), "it is positional; write it into the command", node.lineno)
        elif word in ABSL:
            absl_flag(script, node, ABSL[word])
        elif word == "HfArgumentParser":
            dataclass_arguments(script, node)
        elif word == "LightningCLI":
            lightning_classes(script, node)
        elif called == "tyro.cli":
            function_or_class(script, node, "tyro", True, "pair")
        elif called in ("jsonargparse.CLI", "jsonargparse.auto_cli"):
            function_or_class(script, node, "jsonargparse", False, "text_bool")
        elif called == "fire.Fire":
            function_or_class(script, node, "fire", False, "text_bool")
        elif called == "hydra.main":
            hydra_config(script, node)
        elif word == "print" or word in ("info", "write", "echo"):
            printed_metrics(script, node)
        logged_metrics(script, node, called)
    if script.imports.get("typer") or any(v.startswith("typer.") for v in script.imports.values()):
        for function in typer_commands(script):
            typer_options(script, function)
    return {
        "style": script.style,
        "options": sorted(script.options, key=lambda option: option["line"]),
        "left_out": script.left_out,
        "metrics": script.metrics,
        "imports": sorted({name.split(".")[0] for name in script.imports.values()}),
    }


if __name__ == "__main__":
    try:
        print(json.dumps(read(sys.argv[1])))
    except (SyntaxError, ValueError, RecursionError) as error:
        print(json.dumps({"error": str(error)}))
