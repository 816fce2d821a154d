"""Refuses: does an answer decline to do what it was asked for?"""

import re

from ...streams.events.generation import Generation
from . import signs
from .answer_view import view_of
from .content import in_own_words, sentences

_DOES = (
    r"(?:help|assist|do\s+(?:that|this|so|it)|provide|fulfil?l?|comply|support\s+(?:that|this)|create|write|generate|share|give|offer"
    r"|engage|continue|discuss|answer|complete|process|participate|produce|recommend\s+(?:ways|how)|advise|carry\s+out|perform|make\s+(?:that|this)"
    r"|talk\s+about|comment|accept|agree|show\s+you\s+how|tell\s+you\s+how|be\s+(?:able|part|involved)|go\s+(?:along|there)|respond|draft|execute|run\s+(?:that|this)|delete|change|disclose|reveal|impersonate|translate|browse|access|open)"
)
_REFUSALS = re.compile(
    r"\bi(?:'m|\s+am)?\s+(?:really\s+|very\s+|so\s+)?(?:sorry|afraid)[,.]?\s+(?:but\s+)?(?:that\s+)?(?:i|that|this|it|we)(?:'s|'m|\s+is|\s+am|\s+are)?\s+(?:simply\s+|just\s+)?(?:can't|cannot|can\s+not|won't|will\s+not|unable|not\s+able|not\s+allowed|not\s+something|against)\s+(?!(?:find|see|tell|reproduce|reach|locate|say|be\s+sure|figure|make\s+out|read|hear|connect)\b)"
    rf"|\b(?:i|we)\s+(?:simply\s+|really\s+|just\s+|also\s+)?(?:can't|cannot|can\s+not|can’t|won't|won’t|will\s+not|must\s+not|shouldn't|should\s+not|do\s+not|don't)\s+(?:\w+ly\s+)?{_DOES}\b(?!\s+(?:but|myself|much|for\s+sure))"
    rf"|\b(?:i|we)(?:'m|’m|'re|\s+am|\s+are)\s+(?:currently\s+)?(?:unable|not\s+able|not\s+allowed|not\s+permitted|not\s+going|not\s+willing)\s+to\s+(?:\w+ly\s+)?{_DOES}\b"
    r"|\b(?:i|we)(?:'m|’m|\s+am)\s+not\s+comfortable\b|\b(?:i|we)\s+(?:must|have\s+to|need\s+to|will\s+have\s+to)\s+(?:respectfully\s+|politely\s+)?(?:decline|refuse)\b|\b(?:i|i'd|we)\s+(?:respectfully\s+)?(?:decline|refuse)\s+to\b|\bi(?:'d|\s+would)\s+rather\s+not\b|\bi(?:'ll|\s+will)\s+have\s+to\s+pass\b"
    r"|\bas\s+an?\s+(?:ai|assistant|language\s+model)\b[^.]{0,60}\b(?:can't|cannot|can\s+not|don't|do\s+not|not\s+able|unable|won't)\b"
    r"|\b(?:that|this)(?:'s|\s+is)\s+(?:not\s+)?something\s+(?:that\s+)?i\s*(?:can't|cannot|won't|can|'m\s+not|am\s+not|will\s+not)\b|\bagainst\s+(?:my|our)\s+(?:guidelines|policy|policies|rules)\b"
    r"|\b(?:ich|wir)\s+(?:kann|können|darf|dürfen|werde|werden)\s+(?:\w+\s+){0,6}?nicht\s+(?:\w+\s+){0,5}?(?:helfen|unterstützen|tun|machen|erstellen|schreiben|geben|beantworten|bereitstellen|weiterhelfen|nachkommen|ausführen|dienen|herausgeben)\b|\bdabei\s+kann\s+ich\b[^.]{0,30}\bnicht\s+helfen|\bleider\s+(?:kann|darf)\s+ich\b[^.]{0,60}\bnicht\s+(?:helfen|geben|erstellen|beantworten|machen|schreiben|ausführen|teilen)|\bdas\s+(?:muss|möchte)\s+ich\s+(?:leider\s+)?ablehnen|\bmuss\s+ich\s+(?:leider\s+)?ablehnen"
    r"|\bje\s+ne\s+(?:peux|puis|suis)\s+(?:malheureusement\s+)?pas\s+(?:en\s+mesure\s+de\s+|autorisée?\s+à\s+)?(?:vous\s+|t'|te\s+|l'|y\s+)?(?:aider|faire|fournir|créer|écrire|répondre|donner|partager|rédiger|accéder)|\bje\s+(?:dois|préfère)\s+(?:refuser|décliner|ne\s+pas)"
    r"|\bno\s+(?:puedo|podemos|me\s+es\s+posible)\s+(?:ayudar|hacer\s+(?:eso|esto)|proporcionar|crear|escribir|responder|dar|compartir|cumplir|generar|realizar)\w*|\b(?:debo|tengo\s+que)\s+(?:negarme|rechazar|declinar)"
    r"|\bnão\s+posso\s+(?:ajud|faz|fornec|cri|escrev|respond|dar|compartilh|ger|realiz)\w*|\b(?:devo|tenho\s+que)\s+recusar"
    r"|\bnon\s+posso\s+(?:aiutar|fare|fornir|crear|scriver|risponder|dare|condivider|generar)\w*|\bdevo\s+rifiutare"
    r"|\bik\s+kan\s+(?:je\s+|u\s+|dat\s+|dit\s+|hier\s+)*(?:helaas\s+)?(?:daar\s+|hier\s+)?(?:niet|geen)\s+(?:\w+\s+){0,4}?(?:helpen|doen|geven|schrijven|maken|delen|mee)"
    r"|(?:抱歉|对不起|很遗憾)[，,]?.{0,12}(?:无法|不能)|我(?:无法|不能)(?:帮|提供|协助|回答|生成|满足)"
    r"|(?:お手伝い|お答え|対応|提供|お教え|作成)(?:すること)?(?:は|が)?(?:できません|できかねます|致しかねます|いたしかねます)",
    re.IGNORECASE,
)
LOOKED_AT = 700
"""Characters at the beginning of an answer in which a refusal is looked for."""
SENTENCES = 4
"""Sentences, likewise."""
INSTEAD = re.compile(
    r"\b(?:however|but|instead|that\s+said)\b[^.]{0,40}\bhere(?:'s|\s+is|\s+are)\b|\bbut\s+i(?:'ve|\s+have|\s+did|\s+can\s+confirm)\b",
    re.IGNORECASE,
)


def refuses(generation: Generation) -> bool | None:
    """Return whether an answer declines, in its first sentences, to do what it was asked for.

    What it could not find or see is no refusal, nor one in quotes, nor one that is followed by what
    was asked for. A call of a tool acts. English, German, French, Spanish, Portuguese, Italian,
    Dutch, Chinese and Japanese; other languages are not read. None without content.
    """
    view = view_of(generation)
    if not view.holds:
        return None
    if generation.tool_calls:
        return False
    if not view.begins_with("refusal", LOOKED_AT):
        return False
    said = sentences(in_own_words(generation.text[:LOOKED_AT]))[:SENTENCES]
    if not any(signs.holds(one.lower(), "refusal") and _REFUSALS.search(one) for one in said):
        return False
    return not view.shows_code and not INSTEAD.search(" ".join(said))
