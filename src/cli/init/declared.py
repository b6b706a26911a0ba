"""Lists the options that a Python script declares, as JSON. Run by `swath init`.

usage: python declared.py SCRIPT [ARGUMENT ...]

The arguments are those that every trial gets; one of them may name a subcommand. The script is
parsed, and not run. Understands argparse, click, typer, Hydra, tyro, jsonargparse and LightningCLI,
HfArgumentParser, absl flags, fire, and settings that are overridden by `exec`. Works with Python 3.7 and later, and needs no
package; PyYAML reads a Hydra configuration better than the few lines here.
"""

import ast
import json
import os
import re
import sys

UNKNOWN = object()

# The most ways in which the names around an option are followed.
MOST_WAYS = 200


class Script:
    """A parsed script with what it declares."""

    def __init__(self, path, arguments=()):
        self.path = path
        self.arguments = list(arguments)
        self.subcommand = None
        with open(path, "rb") as file:
            self.tree = ast.parse(file.read(), path)
        self.constants = {}
        self.functions = {}
        self.classes = {}
        self.imports = {}
        # The values of the names that loops and the calls of its function bind around an option.
        self.bound = {}
        self.parents = {}
        self.call_sites = {}
        self.style = None
        self.options = []
        self.left_out = []
        self.metrics = []
        classes = {node.name for node in ast.walk(self.tree) if isinstance(node, ast.ClassDef)}
        for node in ast.walk(self.tree):
            for child in ast.iter_child_nodes(node):
                self.parents[child] = node
            if isinstance(node, ast.Call):
                self.call_sites.setdefault(getattr(node.func, "id", None), []).append(node)
                # Methods of other objects may have the name of a function by chance.
                owner = getattr(getattr(node.func, "value", None), "id", None)
                if owner in ("self", "cls") or owner in classes:
                    self.call_sites.setdefault(node.func.attr, []).append(node)
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
            value = self.bound.get(node.id, self.constants.get(node.id, UNKNOWN))
            return UNKNOWN if isinstance(value, ast.Name) else value
        if isinstance(node, ast.JoinedStr):
            return self.joined(node)
        if isinstance(node, ast.Attribute) and self.is_enum(node.value):
            members = self.enum_members(self.classes[node.value.id])
            return dict(members).get(node.attr, UNKNOWN)
        if isinstance(node, ast.BinOp):
            left, right = self.value(node.left), self.value(node.right)
            if isinstance(node.op, ast.Add) and isinstance(left, str) and isinstance(right, str):
                return left + right
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

    def joined(self, node):
        """Returns the text of an f-string of known texts and whole numbers, or UNKNOWN."""
        text = ""
        for piece in node.values:
            is_field = isinstance(piece, ast.FormattedValue)
            if is_field and (piece.format_spec is not None or piece.conversion != -1):
                return UNKNOWN
            value = self.value(piece.value if is_field else piece)
            if isinstance(value, bool) or not isinstance(value, (str, int)):
                return UNKNOWN
            text += str(value)
        return text

    def parser_of(self, node):
        """Returns the name of the variable on which a method is called, outside of its function."""
        name = getattr(getattr(node.func, "value", None), "id", None)
        outer = self.bound.get(name)
        return outer.id if isinstance(outer, ast.Name) else name

    def ways(self, node, depth=4):
        """Returns the values that the names around a node have, a mapping for each way in which loops
        over constants and calls of its function bind them."""
        outer = []
        child, parent = node, self.parents.get(node)
        while parent is not None:
            is_function = isinstance(parent, (ast.FunctionDef, ast.AsyncFunctionDef))
            if (is_function or isinstance(parent, ast.For)) and child in parent.body:
                outer.append(parent)
            child, parent = parent, self.parents.get(parent)
        ways = [{}]
        for scope in reversed(outer):
            bind = self.loop_values if isinstance(scope, ast.For) else self.argument_values
            ways = [dict(way, **more) for way in ways for more in bind(scope, way, depth)][:MOST_WAYS]
        return ways

    def within(self, way, node):
        """Returns the value of an expression whose names are bound in this way."""
        before, self.bound = self.bound, way
        try:
            return self.value(node)
        finally:
            self.bound = before

    def loop_values(self, loop, way, _depth):
        """Returns what a loop binds in each of its turns, or nothing known if it is not constant."""
        values = self.within(way, loop.iter)
        call = loop.iter
        if isinstance(call, ast.Call) and getattr(call.func, "attr", None) == "items":
            mapping = self.within(way, call.func.value)
            values = [list(item) for item in mapping.items()] if isinstance(mapping, dict) else UNKNOWN
        if isinstance(values, dict):
            values = list(values)
        names = [name.id for name in ast.walk(loop.target) if isinstance(name, ast.Name)]
        if not isinstance(values, (list, tuple)):
            return [dict.fromkeys(names, UNKNOWN)]
        turns = []
        for value in values:
            parts = [value] if isinstance(loop.target, ast.Name) else value
            has_parts = isinstance(parts, (list, tuple)) and len(parts) == len(names)
            turns.append(dict(zip(names, parts)) if has_parts else dict.fromkeys(names, UNKNOWN))
        return turns

    def argument_values(self, function, _way, depth):
        """Returns what each call of a function binds to its parameters."""
        arguments = function.args
        parameters = [parameter.arg for parameter in arguments.args]
        keyword_only = [parameter.arg for parameter in arguments.kwonlyargs]
        defaults = dict.fromkeys(parameters + keyword_only, UNKNOWN)
        if arguments.defaults:
            first = len(parameters) - len(arguments.defaults)
            defaults.update(zip(parameters[first:], map(self.value, arguments.defaults)))
        for name, default in zip(keyword_only, arguments.kw_defaults):
            if default is not None:
                defaults[name] = self.value(default)
        calls = self.call_sites.get(function.name, []) if depth else []
        ways = []
        for call in calls:
            positional = parameters
            if isinstance(call.func, ast.Attribute) and parameters[:1] in (["self"], ["cls"]):
                positional = parameters[1:]
            given = list(zip(positional, call.args)) + list(keywords(call).items())
            for outer in self.ways(call, depth - 1):
                ways.append(dict(defaults, **{k: self.passed(outer, v) for k, v in given}))
            if len(ways) > MOST_WAYS:
                break
        return ways or [defaults]

    def passed(self, way, node):
        """Returns the value of an argument, or the variable itself if its value is not known."""
        value = self.within(way, node)
        if value is UNKNOWN and isinstance(node, ast.Name):
            outer = way.get(node.id)
            return outer if isinstance(outer, ast.Name) else node
        return value

    def is_enum(self, node):
        declared = self.classes.get(getattr(node, "id", None))
        return declared is not None and any("Enum" in self.called(base) for base in declared.bases)

    def enum_members(self, declared):
        """Returns the names of an enum's members with the texts that stand for them."""
        by_name = self.style in ("tyro", "jsonargparse", "lightning")
        members = []
        for item in declared.body:
            if isinstance(item, ast.Assign) and isinstance(item.targets[0], ast.Name):
                name = item.targets[0].id
                members.append((name, name if by_name else self.value(item.value)))
        return members

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

    def leave_out(self, name, why, line, **option):
        """Names an option that becomes no parameter, once."""
        if not any(other["name"] == name for other in self.left_out):
            self.left_out.append(dict(option, name=name, why=why, line=line))

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
    if isinstance(choices, (list, tuple)) and any(choice is UNKNOWN for choice in choices):
        choices = UNKNOWN
    if choices is not None and choices is not UNKNOWN and choices:
        return script.add(
            name, flag, line, kind="choice", choices=list(choices), default=plain(default), **more
        )
    if choices is UNKNOWN:
        return script.leave_out(name, "its choices are computed when the script runs", line)
    if isinstance(default, (list, tuple)) and "form" not in more:
        more["form"] = LIST_FORMS.get(script.style)
    if default is UNKNOWN:
        return script.leave_out(name, "its default is computed when the script runs", line)
    kind = kind_of_default(default) if isinstance(default, list) else kind or kind_of_default(default)
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
    why = "it is a text; give it choices or a value"
    return script.leave_out(name, why, line, flag=flag, default=default)


def plain(value):
    return None if value is UNKNOWN else value


# How libraries take a list: its elements behind the option, or the option for each element. Others
# take `[1, 2]`.
LIST_FORMS = {"tyro": "each", "transformers": "each", "typer": "repeat"}


# argparse -----------------------------------------------------------------------------------------

TYPES = {"int": "int", "float": "float", "str": "text", "bool": "bool", "builtins.int": "int"}


def argparse_option(script, call):
    named = keywords(call)
    flags = [script.value(argument) for argument in call.args]
    line = call.lineno
    if not flags:
        return
    if not all(isinstance(flag, str) for flag in flags):
        # Several of them are named, although they have no name by which they differ.
        why = "the name of its option is computed when the script runs"
        left_out = dict(name="add_argument", why=why, line=line)
        if left_out not in script.left_out:
            script.left_out.append(left_out)
        return
    script.use("argparse")
    owner = script.subcommands.get(script.parser_of(call))
    if script.subcommand is not None and owner != script.subcommand:
        why = f"it belongs to the subcommand `{owner}`" if owner else "it stands before the subcommand"
        return script.leave_out(flags[-1].lstrip("-"), why, line)
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
        if not isinstance(default, list):
            return script.leave_out(name, "it takes several values (nargs)", line)
        return described(script, name, flag, line, "list", default, form="each")
    choices = script.value(named["choices"]) if "choices" in named else None
    if choices is UNKNOWN and isinstance(named["choices"], ast.Call):
        bounds = [script.value(argument) for argument in named["choices"].args]
        if script.called(named["choices"]) == "range" and UNKNOWN not in bounds:
            choices = list(range(*bounds))
    required = script.value(named.get("required")) is True
    described(script, name, flag, line, kind, default, choices, required=required)


def find_subcommands(script):
    """Finds the parsers of subcommands, and picks the one that the arguments name, or the first."""
    script.subcommands = {}
    for node in ast.walk(script.tree):
        if not isinstance(node, ast.Assign) or not isinstance(node.value, ast.Call):
            continue
        target, call = getattr(node.targets[0], "id", None), node.value
        word = getattr(call.func, "attr", None)
        if word == "add_parser" and call.args:
            name = script.value(call.args[0])
            if isinstance(name, str):
                script.subcommands[target] = name
        elif word in ("add_argument_group", "add_mutually_exclusive_group"):
            parser = getattr(call.func.value, "id", None)
            if parser in script.subcommands:
                script.subcommands[target] = script.subcommands[parser]
    names = list(dict.fromkeys(script.subcommands.values()))
    named = [argument for argument in script.arguments if argument in names]
    usual = [name for name in names if name in ("train", "fit")]
    script.subcommand = next(iter(named + usual + names), None)


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
        if not isinstance(default, list):
            return script.leave_out(name, "it is given several times (multiple)", line)
        return described(script, name, flag, line, "list", default, form="repeat")
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
        if script.is_enum(node):
            return None, [text for _, text in script.enum_members(script.classes[node.id])]
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


def parameter(script, name, flag, declared, default, line, boolean, **more):
    kind, choices = annotation(script, declared)
    if isinstance(default, ast.Call):
        called = script.called(default).split(".")[-1]
        named = keywords(default)
        if called in ("field", "Field", "HfArg"):
            factory = named.get("default_factory")
            if factory is not None and not isinstance(factory, ast.Lambda):
                return script.leave_out(name, "its default is made by a function", line)
            default = factory.body if factory is not None else named.get("default")
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
        if boolean == "python":
            return described(script, name, flag, line, None, str(value), ["True", "False"])
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
        bounds = keywords(extra) if extra is not None else {}
        low, high = (plain(script.value(bounds.get(key))) for key in ("min", "max"))
        parameter(script, flag[2:], flag, declared, default, line, "pair", low=low, high=high)


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
        names = [name]
        if name in script.classes:
            members(script, script.classes[name], "", False, "text_bool", False)
            names = [script.called(base) for base in script.classes[name].bases]
        if any(name.split(".")[-1].endswith("TrainingArguments") for name in names):
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


# Groups of a Hydra configuration that do not describe the training.
OTHER_GROUPS = {
    "hydra", "logger", "callbacks", "paths", "extras", "debug", "local", "experiment", "launcher",
    "hparams_search", "sweeper",
}


def groups(script, config, folder, line, prefix=""):
    """Adds a choice for every group of the defaults list that has several files, and the values that
    all of its files have."""
    for entry in config.get("defaults") or []:
        if not isinstance(entry, dict) or len(entry) != 1:
            continue
        (group, chosen), = entry.items()
        group = re.sub(r"^(override|optional) ", "", str(group)).lstrip("/").split("@")[0]
        if group.split("/")[0] in OTHER_GROUPS or not isinstance(chosen, str):
            continue
        configs = configs_of_group(os.path.join(folder, group))
        name = prefix + group.replace("/", ".")
        own = configs.get(chosen, {})
        others = [flat(other) for other in configs.values()]
        common = {key: value for key, value in flat(own).items() if all(key in o for o in others)}
        for key in flat(own).keys() - common.keys():
            if not isinstance(flat(own)[key], (str, list, type(None))):
                script.leave_out(f"{name}.{key}", f"only `{group}={chosen}` has it", line)
        if len(configs) > 1:
            script.add(prefix + group, group, line, kind="choice", choices=sorted(configs), default=chosen)
        flat_config(script, common, name + ".", line)


def configs_of_group(folder):
    """Returns the configurations in a folder by the names of their files."""
    configs = {}
    try:
        for file in sorted(os.listdir(folder)):
            stem, ending = os.path.splitext(file)
            if ending in (".yaml", ".yml"):
                with open(os.path.join(folder, file), encoding="utf-8") as text:
                    configs[stem] = yaml(text.read())
    except (OSError, ValueError):
        pass
    return configs


def flat(config, prefix=""):
    """Returns the values of a configuration by their dotted names."""
    values = {}
    for key, value in config.items():
        if key == "defaults" or str(key).startswith("_"):
            continue
        if isinstance(value, dict):
            values.update(flat(value, f"{prefix}{key}."))
        else:
            values[f"{prefix}{key}"] = value
    return values


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


def settings(script):
    """The options of a script whose settings are overridden by `exec(open("configurator.py").read())`.

    Such a file takes `--name=value` and wants the type of the setting, so that booleans are Python's.
    """
    calls = [
        node
        for node in script.tree.body
        if isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Call)
        and script.called(node.value) == "exec"
        and "open(" in ast.dump(node.value).replace("Name(id='open'", "open(")
    ]
    if not calls:
        return
    script.use("settings")
    for node in script.tree.body:
        if node is calls[0]:
            break
        name = getattr(node.targets[0], "id", None) if isinstance(node, ast.Assign) else None
        if name is None or name.startswith("_"):
            continue
        value = script.value(node.value)
        if isinstance(value, bool):
            choices = ["True", "False"]
            described(script, name, "--" + name, node.lineno, None, str(value), choices)
        elif isinstance(value, (int, float, str)) or value is UNKNOWN:
            described(script, name, "--" + name, node.lineno, None, value)


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


def read(path, arguments=()):
    script = Script(path, arguments)
    find_subcommands(script)
    settings(script)
    for node in ast.walk(script.tree):
        if not isinstance(node, ast.Call):
            continue
        called = script.called(node)
        word = called.split(".")[-1]
        if word == "add_argument":
            for script.bound in script.ways(node):
                argparse_option(script, node)
            script.bound = {}
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
            function_or_class(script, node, "fire", False, "python")
        elif called == "hydra.main":
            hydra_config(script, node)
        elif word == "print" or word in ("info", "write", "echo"):
            printed_metrics(script, node)
        logged_metrics(script, node, called)
    if script.imports.get("typer") or any(v.startswith("typer.") for v in script.imports.values()):
        for function in typer_commands(script):
            typer_options(script, function)
    # One call of a helper function may know what another one does not.
    names = {option["name"] for option in script.options}
    return {
        "style": script.style,
        "subcommand": None if script.subcommand in script.arguments else script.subcommand,
        "options": sorted(script.options, key=lambda option: option["line"]),
        "left_out": [option for option in script.left_out if option["name"] not in names],
        "metrics": script.metrics,
        "imports": sorted({name.split(".")[0] for name in script.imports.values()}),
    }


if __name__ == "__main__":
    try:
        print(json.dumps(read(sys.argv[1], sys.argv[2:])))
    except (SyntaxError, ValueError, RecursionError) as error:
        print(json.dumps({"error": str(error)}))
