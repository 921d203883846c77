"""Subscriptions to sensors: best effort by default, overridable, and checked against the publishers they meet."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

from rclpy.node import Node
from rclpy.qos import QoSCompatibility, QoSPolicyKind, QoSProfile, qos_check_compatible, qos_profile_sensor_data
from rclpy.qos_overriding_options import QoSOverridingOptions
from rclpy.subscription import Subscription
from sensor_msgs.msg import CompressedImage, Image

from mono3d_kd_ros.node.diagnostics import ERROR, Finding

try:
    from rclpy.event_handler import SubscriptionEventCallbacks
except ImportError:  # Humble
    from rclpy.qos_event import SubscriptionEventCallbacks

OVERRIDABLE = (QoSPolicyKind.HISTORY, QoSPolicyKind.DEPTH, QoSPolicyKind.RELIABILITY, QoSPolicyKind.DURABILITY)


def subscribe(
    node: Node,
    message_type: type,
    topic: str,
    callback: Callable[[Any], None],
    qos: QoSProfile = qos_profile_sensor_data,
    lost: Callable[[int], None] | None = None,
) -> Subscription[Any]:
    """Subscribe with sensor-data QoS; parameters `qos_overrides.<topic>.subscription.*` change it.

    `lost` hears how many messages the middleware has just given up, where it can tell.
    """
    events = SubscriptionEventCallbacks()
    if lost is not None:
        events.message_lost = lambda event: lost(event.total_count_change)
    options = QoSOverridingOptions(OVERRIDABLE)
    return node.create_subscription(
        message_type, topic, callback, qos, event_callbacks=events, qos_overriding_options=options
    )


def image_type(topic: str, choice: Literal["auto", "yes", "no"]) -> type[Any]:
    """Return the type of an image topic: as chosen, or compressed when the name ends so."""
    compressed = topic.endswith("/compressed") if choice == "auto" else choice == "yes"
    return CompressedImage if compressed else Image  # type: ignore[no-any-return]


def qos_findings(node: Node, subscriptions: list[Subscription[Any]]) -> list[Finding]:
    """Name the publishers whose quality of service or type keeps their messages from the subscriptions."""
    found = []
    for subscription in subscriptions:
        topic = subscription.topic_name
        for publisher in node.get_publishers_info_by_topic(topic):
            who = f"{topic}: the publisher {publisher.node_namespace.rstrip('/')}/{publisher.node_name}"
            wanted = subscription.msg_type
            type_name = f"{wanted.__module__.split('.')[0]}/msg/{wanted.__name__}"
            if publisher.topic_type != type_name:
                found.append(Finding(ERROR, f"{who} sends {publisher.topic_type}, this node reads {type_name}"))
                continue
            compatible, reason = qos_check_compatible(publisher.qos_profile, subscription.qos_profile)
            if compatible == QoSCompatibility.ERROR:
                sides = f"it offers {_qos(publisher.qos_profile)}, this node asks for {_qos(subscription.qos_profile)}"
                found.append(Finding(ERROR, f"{who} has an incompatible QoS: {sides}; {reason}"))
    return found


def _qos(profile: QoSProfile) -> str:
    return f"{profile.reliability.name} {profile.durability.name}"
