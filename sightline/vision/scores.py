"""What a similarity means, for each embedder: no heavy imports, the matcher reads it."""

import math
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ScoreScale:
    """Cosines that mean the same with every embedder."""

    same: float
    """From here a template of several agreeing shots is this person."""
    sure: float
    """From here one shot alone is."""
    newcomer: float
    """Below this against everybody, several good shots mean a person nobody knows."""
    lead: float
    """How far the second best person has to be behind."""

    def confidence(self, score: float) -> float:
        """0 to 1, growing with the score: 0.5 at `same`, 0.9 at `sure`."""
        steepness = math.log(9.0) / (self.sure - self.same)
        return 1.0 / (1.0 + math.exp(-steepness * (score - self.same)))


# How it was measured: the 40 people of the ORL portraits, 10 each, and the six of insightface's
# t1.jpg, 13 each (brightness, noise, scale, turn, blur and JPEG varied): 46 people. A track is the
# mean of 3 shots; the template it is compared with is the mean of 3 other shots, or one photo.
# "Stranger" is the best score against 45 other people.
#
#                        one pair      template of 3            one photo
#                      highest diff  stranger 99%, max  own 1%, lowest   own 1%, 5%
# MobileFaceNet           .523         .459  .479        .707  .530      .500  .694
# dlib, unit length       .950         .946  .949        .968  .959      .950  .963
_MOBILEFACENET = ScoreScale(same=0.50, sure=0.60, newcomer=0.44, lead=0.05)
_DLIB = ScoreScale(same=0.955, sure=0.968, newcomer=0.948, lead=0.006)
# Not measured by us: ResNet-50 on WebFace600K keeps strangers lower than MobileFaceNet does, and
# own shots higher, so this errs towards giving no name.
_BUFFALO_L = ScoreScale(same=0.45, sure=0.55, newcomer=0.38, lead=0.05)


def score_scale(pack_id: str) -> ScoreScale:
    """The scale of a pack; an embedder never measured is taken for a small ArcFace."""
    if pack_id == "dlib":
        return _DLIB
    if pack_id.startswith(("buffalo_l", "w600k_r50")):
        return _BUFFALO_L
    return _MOBILEFACENET
