"""ROS parameters that are the fields of a pydantic model: same names, defaults, ranges and descriptions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo
from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor, SetParametersResult
from rclpy.exceptions import InvalidParameterTypeException, InvalidParameterValueException
from rclpy.node import Node
from rclpy.parameter import Parameter

from mono3d_kd_core.errors import Mono3DError

Settings = TypeVar("Settings", bound=BaseModel)

ACCEPTED = SetParametersResult(successful=True)


class ParameterError(Mono3DError):
    """A parameter has a value that the node cannot use."""


def declare(node: Node, model: type[Settings]) -> None:
    """Declare a parameter for every field of `model`, and refuse values that the model refuses.

    Raises ParameterError where a value given at the start (YAML, command line, launch) does not fit.
    """
    for name, field in model.model_fields.items():
        try:
            node.declare_parameter(name, field.default, _descriptor(name, field))
        except (InvalidParameterTypeException, InvalidParameterValueException) as error:
            hint = " (write a whole number as 2.0)" if isinstance(field.default, float) else ""
            raise ParameterError(f"parameter {name}: {error}{hint}") from None
    read(node, model)
    node.add_on_set_parameters_callback(lambda changed: _check(node, model, changed))


def read(node: Node, model: type[Settings]) -> Settings:
    """Return the parameters' values as settings. Raises ParameterError."""
    values = {name: node.get_parameter(name).value for name in model.model_fields}
    try:
        return model(**values)
    except ValidationError as error:
        raise ParameterError(_in_words(error)) from None


def _check(node: Node, model: type[BaseModel], changed: Sequence[Parameter[Any]]) -> SetParametersResult:
    """Tell whether the settings would still be valid with the changed parameters."""
    values = {name: node.get_parameter(name).value for name in model.model_fields}
    values.update({parameter.name: parameter.value for parameter in changed if parameter.name in values})
    try:
        model(**values)
    except ValidationError as error:
        return SetParametersResult(successful=False, reason=_in_words(error))
    return ACCEPTED


def _descriptor(name: str, field: FieldInfo) -> ParameterDescriptor:
    marks = field.json_schema_extra if isinstance(field.json_schema_extra, dict) else {}
    fixed = bool(marks.get("read_only", False))
    note = "" if fixed or marks.get("live", False) else " Read when the node is configured."
    result = ParameterDescriptor(name=name, description=(field.description or "") + note, read_only=fixed)
    result.dynamic_typing = isinstance(field.default, list)  # an empty list would be declared as one of bytes
    low = next((m.ge for m in field.metadata if hasattr(m, "ge")), None)
    high = next((m.le for m in field.metadata if hasattr(m, "le")), None)
    if isinstance(field.default, float) and low is not None and high is not None:
        result.floating_point_range = [FloatingPointRange(from_value=float(low), to_value=float(high), step=0.0)]
    elif type(field.default) is int and low is not None and high is not None:
        result.integer_range = [IntegerRange(from_value=low, to_value=high, step=1)]
    return result


def _in_words(error: ValidationError) -> str:
    return "; ".join(f"parameter {'.'.join(map(str, e['loc']))}: {e['msg']}, not {e['input']!r}" for e in error.errors())
