"""The parameters of the nodes, as settings: names, defaults, ranges and what they mean."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

LIVE: dict[str, Any] = {"live": True}
"""Marks a parameter that takes effect while the node runs; the others are read when the node is configured."""

FIXED: dict[str, Any] = {"read_only": True}
"""Marks a parameter that is read once, when the process starts."""

Seconds = Annotated[float, Field(ge=0.0, le=60.0)]


KEEP_ALL = -1000.0
"""A least score that no box is below."""


class NodeSettings(BaseModel):
    """What every node of the suite has."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    autostart: bool = Field(
        True, json_schema_extra=FIXED, description="Configure and activate at the start, without a lifecycle manager."
    )
    image_is_rectified: Literal["auto", "yes", "no"] = Field(
        "auto",
        description="Which of CameraInfo's calibrations belongs to the image: P and R (yes), K and D (no), or by the name "
        "of the image topic: rectified when it contains 'rect' (auto).",
    )
    compressed: Literal["auto", "yes", "no"] = Field(
        "auto", description="The image topic carries CompressedImage; auto: when its name ends in /compressed."
    )
    late_after: Seconds = Field(0.5, description="Seconds from arrival to publication beyond which a frame is late.")
    silence_warn: Seconds = Field(0.5, description="Seconds without an image that are worth a warning.")
    silence_error: Seconds = Field(1.5, description="Seconds without an image that are an error.")
    expected_rate: float = Field(
        0.0, ge=0.0, le=1000.0, description="Images per second that should arrive; fewer are reported. 0: any rate will do."
    )


class StudentSettings(NodeSettings):
    """Parameters of the student's node."""

    model: str = Field("", description="Path of the student's bundle: a folder with model.safetensors and card.yaml.")
    backend: Literal["torch", "onnx"] = Field("torch", description="What runs the network.")
    device: str = Field("cpu", description="Where PyTorch runs the network: cpu, cuda, cuda:1...")
    threads: int = Field(0, ge=0, le=256, description="Cores that the network may use; 0: as many as there are.")
    score_threshold: float = Field(
        -1.0, ge=-1.0, le=1.0, json_schema_extra=LIVE,
        description="Detections with a lower score are not published; negative: the one recommended by the bundle's card.",
    )  # fmt: skip
    max_detections: int = Field(50, ge=1, le=1000, json_schema_extra=LIVE, description="Most detections in one array.")
    target_frame: str = Field(
        "", description="Frame of the detections, by tf at the image's stamp; empty: the frame of the image."
    )
    ground_frame: str = Field(
        "",
        description="Frame on the road, z up, such as base_footprint: by tf it tells students that need it where the camera "
        "is; empty: where it was in training.",
    )
    transform_timeout: Seconds = Field(0.1, description="Seconds to wait for a transform that is not there yet.")
    skip_unwatched: bool = Field(True, description="Do not run the network while nobody subscribes to an output.")


class TeacherSettings(NodeSettings):
    """Parameters of the teacher's node."""

    model: str = Field("", description="Path of the teacher's bundle: a folder with model.safetensors and card.yaml.")
    device: str = Field("cpu", description="Where PyTorch runs the network: cpu, cuda, cuda:1...")
    threads: int = Field(0, ge=0, le=256, description="Cores that the network may use; 0: as many as there are.")
    out: str = Field("", description="Folder of the target store to write; empty: publish only.")
    bag: str = Field(
        "",
        description="The bag that is being replayed. Frames then have the ids that `mono3d-kd targets` gives them, whatever "
        "was dropped; empty: they are numbered in the order of arrival.",
    )
    rig: str = Field("", description="Rig file: sync offset and tolerance, frames; empty: what the bag or the topics say.")
    mode: Literal["live", "lossless"] = Field(
        "live",
        description="live: frames that come while `queue` frames wait are dropped and counted. lossless: the player is "
        "paused until they are worked off.",
    )
    player: str = Field("bag_player", description="Name of the player that is paused in the mode lossless.")
    queue: int = Field(8, ge=1, le=1000, description="Frames that may wait for the teacher.")
    sync_tolerance: Seconds = Field(0.05, description="Seconds that image and cloud may be apart, without a rig file.")
    transform_timeout: Seconds = Field(1.0, description="Seconds to wait for a transform that is not there yet.")
    min_score: float = Field(
        KEEP_ALL, description=f"Boxes below are left out; the scale is the teacher's own. {KEEP_ALL}: none is."
    )
    responses: bool = Field(True, description="Store the teacher's dense responses as soft targets, where it has them.")
    bev: bool = Field(False, description="Store the teacher's bird's-eye features, where it has them; they are large.")
    depth: bool = Field(False, description="Store depth maps of the LiDAR points.")
    exit_at_end: bool = Field(
        False, description="End the process when the player has finished and all is worked off."
    )
    summary: str = Field("", description="File for the account of all frames at the end, as JSON; empty: the log only.")


class AgreementSettings(BaseModel):
    """Parameters of the node that compares student and teacher."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    autostart: bool = Field(
        True, json_schema_extra=FIXED, description="Configure and activate at the start, without a lifecycle manager."
    )
    window: int = Field(100, ge=1, le=100_000, description="Frames that the figures are of: the latest.")
    capacity: int = Field(300, ge=1, le=100_000, description="Frames that the slower side may be behind.")
    student_min_score: float = Field(0.0, ge=0.0, le=1.0, description="The student's boxes below are left out.")
    teacher_min_score: float = Field(
        KEEP_ALL, description="The teacher's boxes below are left out; the scale is the teacher's own."
    )
    field_of_view: float = Field(
        80.0, ge=1.0, le=360.0, description="Degrees to the left and right together that the camera sees; boxes outside "
        "are left out."
    )  # fmt: skip
    least_recall: float = Field(0.5, ge=0.0, le=1.0, description="A lower share of the teacher's boxes is a warning.")
    least_precision: float = Field(0.5, ge=0.0, le=1.0, description="A lower share of the student's boxes is a warning.")
    least_objects: int = Field(20, ge=1, le=100_000, description="With fewer boxes in the window nothing is judged.")
    silence_warn: Seconds = Field(5.0, description="Seconds without a frame that both have answered that are a warning.")


class TrainerSettings(BaseModel):
    """Parameters of the node that lets the student learn online."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    autostart: bool = Field(
        True, json_schema_extra=FIXED, description="Configure and activate at the start, without a lifecycle manager."
    )
    store: str = Field("", description="The target store that a teacher's node fills.")
    model: str = Field("", description="The student's bundle to start from: the one that the student's node runs.")
    out: str = Field("", description="Folder of the rounds: what was learned, the logs, the bundles.")
    student: str = Field("student_node", description="Name of the student's node, which takes better bundles.")
    recipe: str = Field("keypoint_small", description="Recipe of a student of the same shape as `model`.")
    replay: list[str] = Field([], description="Folders with labels of what was known before, so that it is not forgotten.")
    fresh: int = Field(60, ge=1, le=1_000_000, description="New frames to learn from that start a round.")
    recent: int = Field(100, ge=1, le=1_000_000, description="Newest frames that a round learns from.")
    replayed: int = Field(100, ge=0, le=1_000_000, description="Older frames drawn, and as many from each of `replay`.")
    epochs: int = Field(12, ge=1, le=1000, description="Epochs of a round.")
    batch_size: int = Field(4, ge=1, le=1000, description="Pictures of a step.")
    learning_rate: float = Field(3e-4, ge=0.0, le=1.0, description="Learning rate of a round.")
    margin: float = Field(0.02, ge=0.0, le=1.0, description="By how much F1 on the frames held back must rise.")
    least_objects: int = Field(20, ge=1, le=1_000_000, description="With fewer objects there nothing is decided.")
    threads: int = Field(1, ge=0, le=256, description="Cores that a round may use; 0: all.")
    niceness: int = Field(10, ge=0, le=19, description="How much a round stands back for the other processes.")


class PlayerSettings(BaseModel):
    """Parameters of the bag player."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    bag: str = Field("", json_schema_extra=FIXED, description="Path of the bag: ROS 1, or rosbag2 in sqlite3 or MCAP.")
    rate: float = Field(1.0, ge=0.01, le=1000.0, json_schema_extra=LIVE, description="Speed: 2 is twice as fast.")
    loop: bool = Field(False, json_schema_extra=LIVE, description="Begin anew at the end.")
    start_offset: float = Field(
        0.0, ge=0.0, le=1e6, json_schema_extra=FIXED, description="Seconds into the bag at which to begin."
    )
    duration: float = Field(0.0, ge=0.0, le=1e6, json_schema_extra=FIXED, description="Seconds to play; 0: to the end.")
    topics: list[str] = Field([], json_schema_extra=FIXED, description="Topics to play; none given: all.")
    start_paused: bool = Field(False, json_schema_extra=FIXED, description="Wait for ~/resume before the first message.")
    publish_clock: bool = Field(True, json_schema_extra=FIXED, description="Publish the bag's time on /clock.")
    clock_rate: float = Field(100.0, ge=1.0, le=1000.0, json_schema_extra=FIXED, description="Messages a second on /clock.")
    wait_for_subscribers: list[str] = Field(
        [], json_schema_extra=FIXED,
        description="Topics that need a subscriber before the first message; ['images'] means all that carry images.",
    )  # fmt: skip
    least_subscribers: int = Field(
        1, ge=1, le=100, json_schema_extra=FIXED, description="How many subscribers each topic waited for must have."
    )
    wait_timeout: float = Field(
        60.0, ge=0.0, le=3600.0, json_schema_extra=FIXED, description="Seconds after which to begin without them."
    )
    reliable: bool = Field(
        False, json_schema_extra=FIXED,
        description="Publish every topic reliably, which suits every subscriber; else as the bag was recorded.",
    )  # fmt: skip
    stay: bool = Field(False, json_schema_extra=FIXED, description="Stay after the end, with latched topics available.")
