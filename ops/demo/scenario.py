"""Scenes of the demo's two films."""

from ops.demo.backgrounds import entrance, office
from ops.demo.demo_persons import DEMO_PERSONS
from ops.demo.film import Scene, Walk

ENTRANCE, OFFICE = "entrance", "office"

_ANA, _BEN, _CARL, _ELLA, _ORANGE, _UNIFORM = (member.name for member in DEMO_PERSONS)


def scenes() -> tuple[Scene, Scene]:
    """Return both scenes: every person walks through both rooms, alone or with another."""
    return (
        Scene(
            ENTRANCE, entrance(), 36.0,
            (
                Walk(_ANA, 1.0, 6.0, True, (112, 122)),
                Walk(_BEN, 4.5, 6.0, True, (118, 118), gain=0.92),
                Walk(_ORANGE, 13.0, 6.0, False, (108, 102), blur=0.6),
                Walk(_CARL, 16.5, 6.0, False, (126, 116), gain=1.05),
                Walk(_UNIFORM, 25.0, 6.0, True, (120, 112), gamma=0.9),
                Walk(_ELLA, 28.5, 6.0, True, (116, 110)),
            ),
        ),
        Scene(
            OFFICE, office(), 37.0,
            (
                Walk(_CARL, 2.0, 6.0, True, (112, 126), gain=0.8, gamma=1.1),
                Walk(_ELLA, 5.5, 6.0, True, (120, 120), gain=0.85, blur=0.8),
                Walk(_UNIFORM, 14.0, 6.0, False, (112, 124), gain=0.85),
                Walk(_ANA, 17.5, 6.0, False, (118, 108), gain=0.75, gamma=1.15),
                Walk(_ORANGE, 26.0, 6.0, True, (104, 108), gain=0.8),
                Walk(_BEN, 29.5, 6.0, True, (112, 126), gain=0.8, gamma=1.1, blur=0.7),
            ),
        ),
    )  # fmt: skip
