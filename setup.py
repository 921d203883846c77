"""The package for pip and colcon alike. Name, version and description are those of package.xml."""

from pathlib import Path
from xml.etree import ElementTree

from setuptools import find_packages, setup

ROOT = Path(__file__).resolve().parent
MANIFEST = ElementTree.parse(ROOT / "package.xml").getroot()
NAME = MANIFEST.findtext("name")
SHARE = Path("share") / NAME


def tree(folder: str) -> list[tuple[str, list[str]]]:
    """List a folder's files as data files that keep their places below share/."""
    files = sorted(p.relative_to(ROOT) for p in (ROOT / folder).rglob("*") if p.is_file() and "__pycache__" not in p.parts)
    return [(str(SHARE / file.parent), [str(file)]) for file in files]


setup(
    name=NAME,
    version=MANIFEST.findtext("version"),
    description=MANIFEST.findtext("description"),
    author=MANIFEST.findtext("author"),
    author_email=MANIFEST.find("maintainer").get("email"),
    maintainer=MANIFEST.findtext("maintainer"),
    maintainer_email=MANIFEST.find("maintainer").get("email"),
    license=MANIFEST.findtext("license"),
    packages=find_packages(include=["mono3d_kd_core", "mono3d_kd_core.*", "mono3d_kd_ros", "mono3d_kd_ros.*"]),
    data_files=[
        ("share/ament_index/resource_index/packages", [f"resource/{NAME}"]),
        (str(SHARE), ["package.xml"]),
        *tree("launch"),
        *tree("config"),
        *tree("interfaces"),
    ],
    zip_safe=False,
    python_requires=">=3.10",
    # Ranges, not pins: ROS Jazzy brings numpy 1.26, others bring 2. What CI runs on is pinned in requirements/.
    install_requires=[
        "matplotlib>=3.7",
        "numba>=0.59",
        "numpy>=1.26,<3",
        "opencv-python-headless>=4.6,<6",
        "Pillow>=10",
        "pydantic>=2.5,<3",
        "PyYAML>=6",
        "rich>=13",
        "rosbags>=0.11,<0.12",
        "safetensors>=0.4",
        "torch>=2.4",
        "typer>=0.12",
        "typing-extensions>=4",
    ],
    extras_require={
        "train": ["lightning>=2.4,<3", "scikit-image>=0.22", "scipy>=1.11", "tensorboard>=2.14"],
        "export": ["onnx>=1.16", "onnxruntime>=1.18", "onnxscript>=0.3"],
        "openvino": ["openvino>=2024.4", "nncf>=2.13"],
        "spconv": ["spconv-cu120>=2.3.6,<2.4", "cumm-cu120<0.8"],
        "rerun": ["rerun-sdk>=0.18"],
        "dev": [
            "embreex>=2.17",
            "hypothesis>=6.100",
            "mypy>=1.11",
            "pytest>=8",
            "pytest-timeout>=2.3",
            "pytest-xdist>=3.5",
            "rosbags-image>=0.10,<0.11",
            "ruff>=0.6",
            "shapely>=2.0",
            "types-PyYAML>=6",
        ],
    },
    entry_points={
        "console_scripts": [
            "mono3d-kd = mono3d_kd_core.cli:main",
            "student_node = mono3d_kd_ros.student_node:main",
            "teacher_node = mono3d_kd_ros.teacher_node:main",
            "agreement_node = mono3d_kd_ros.agreement_node:main",
            "trainer_node = mono3d_kd_ros.trainer_node:main",
            "composed = mono3d_kd_ros.composed:main",
            "bag_player = mono3d_kd_ros.bag_player:main",
        ],
    },
)
