"""Compares a container's language (ISO 639-2, two spellings) with the requested one (BCP-47, ISO 639-1)."""

from __future__ import annotations

#: ISO 639-1 and the codes of ISO 639-2 for it, bibliographic and terminological where they differ.
#: https://www.loc.gov/standards/iso639-2/php/code_list.php
_CODES = (
    "af afr, am amh, ar ara, as asm, az aze, ba bak, be bel, bg bul, bn ben, bo tib bod, br bre, bs bos, ca cat, "
    "cs cze ces, cy wel cym, da dan, de ger deu, el gre ell, en eng, es spa, et est, eu baq eus, fa per fas, fi fin, "
    "fo fao, fr fre fra, gl glg, gu guj, ha hau, he heb, hi hin, hr hrv, ht hat, hu hun, hy arm hye, id ind, "
    "is ice isl, it ita, ja jpn, jv jav, ka geo kat, kk kaz, km khm, kn kan, ko kor, la lat, lb ltz, ln lin, lo lao, "
    "lt lit, lv lav, mg mlg, mi mao mri, mk mac mkd, ml mal, mn mon, mr mar, ms may msa, mt mlt, my bur mya, ne nep, "
    "nl dut nld, nn nno, no nor nob, oc oci, pa pan, pl pol, ps pus, pt por, ro rum ron, ru rus, sa san, sd snd, "
    "si sin, sk slo slk, sl slv, sn sna, so som, sq alb sqi, sr srp, su sun, sv swe, sw swa, ta tam, te tel, tg tgk, "
    "th tha, tk tuk, tl tgl, tr tur, tt tat, uk ukr, ur urd, uz uzb, vi vie, yi yid, yo yor, zh chi zho"
)
_SHORT = {code: row.split()[0] for row in _CODES.split(", ") for code in row.split()}


def same_language(one: str, other: str) -> bool:
    """Whether two tags mean one language, whatever their region: ``de``, ``de-AT``, ``ger`` and ``deu`` do."""
    return bool(one and other) and _main(one) == _main(other)


def _main(tag: str) -> str:
    code = tag.lower().replace("_", "-").split("-")[0]
    return _SHORT.get(code, code)
