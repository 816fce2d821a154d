"""Asks: does an answer ask something back instead of doing what it was asked for?"""

import re

from ...streams.events.generation import Generation
from . import signs
from .answer_view import view_of
from .content import asked, in_own_words, sentences

_TOOLS = re.compile(
    r"ask_?user|ask_?(?:follow_?up_?)?question|request_?clarification|clarify|ask_?human|human_?input",
    re.IGNORECASE,
)
_MARKS = ("?", "？", "؟")
_REQUEST = re.compile(
    r"\bplease\s+(?:\w+ly\s+)?(?:tell|provide|share|specify|clarify|confirm|send|paste|give|upload|describe|choose|let\s+me\s+know)\b"
    r"|\b(?:could|can|would)\s+you\s+(?:please\s+)?(?:tell|provide|share|specify|clarify|confirm|send|paste|give|describe)\b"
    r"|\b(?:i|we)(?:'d|'ll|\s+(?:would|will))?\s+(?:first\s+)?need\s+(?:(?:a\s+(?:bit|little)\s+)?more|some|the|to\s+know|your|a\s+few)\b"
    r"|\blet\s+me\s+know\s+(?:which|what|whether|where|how|who|your|the|if\s+you\s+(?:want|prefer|meant))\b"
    r"|\btell\s+me\s+(?:which|what|whether|where|how|who|more|the|your)\b"
    r"|\bbefore\s+i\s+(?:start|begin|continue|proceed|can|make|do)\b.*\b(?:know|clarif|confirm|decid)"
    r"|\bbitte\s+(?:sag|nenn|teil|schick|gib|beschreib|bestätig|lass)\w*\b|\bich\s+brauche\s+(?:noch|mehr|zuerst)\b"
    r"|\bs'il\s+(?:vous|te)\s+plaît,?\s+(?:préci|indi|dites|dis|envo|partag)\w*|\b(?:pouvez|pourriez)-vous\s+(?:préci|indi|me\s+dire|partag)\w*"
    r"|\bmerci\s+de\s+(?:préciser|m'indiquer|me\s+dire)\b"
    r"|\bpor\s+favor,?\s+(?:dime|indi|especifi|compart|envía|confirm|diga|inform|envie)\w*|\bnecesito\s+(?:saber|más)\b|\bpreciso\s+(?:saber|de\s+mais)\b"
    r"|\bper\s+favore,?\s+(?:dimmi|indica|specifica|conferma)\w*|\bho\s+bisogno\s+di\s+(?:sapere|più)\b"
    r"|\blaat\s+me\s+weten\s+(?:welke|wat|of|hoe)\b|\bik\s+heb\s+(?:meer|nog)\b"
    r"|请(?:告诉|提供|说明|确认|发给)|教えて(?:ください|いただけ)|お知らせください",
    re.IGNORECASE,
)
_COURTESY = re.compile(
    r"\b(?:anything|something)\s+else\b|\b(?:does|did)\s+(?:this|that|it)\s+(?:help|answer|work|make\s+sense|sound)|\bmakes?\s+sense\?"
    r"|\b(?:any|other|more)\s+questions\b|\bhow\s+(?:can|may)\s+i\s+(?:help|assist)|\bwhat\s+can\s+i\s+(?:do|help)"
    r"|\b(?:know|learn|hear)\s+more\b|\bhow\s+about\s+that\b|,\s*(?:right|ok(?:ay)?|no|yes|eh|isn't\s+it|don't\s+you\s+think|shall\s+we)\?$"
    r"|\bfeel\s+free\b|\blet\s+me\s+know\s+if\s+(?:you\s+(?:have|need|run|see|hit|get|want\s+(?:any|to\s+(?:adjust|change|tweak)))|anything|that|this|it|there)"
    r"|\bhow\s+are\s+you\b|\bcool,?\s+(?:huh|right)\?|\bwho\s+(?:knew|wouldn't|doesn't)\b|\bwhy\s+not\?|\bwhat\s+do\s+you\s+think\?"
    r"|\bhilft\s+(?:dir\s+|ihnen\s+)?das\b|\bkann\s+ich\s+(?:dir|ihnen|sonst|noch)\b.*\b(?:helfen|tun)\b|\bnoch\s+(?:fragen|etwas)\b|,\s*oder\?$"
    r"|\bautre\s+chose\b|\bd'autres\s+questions\b|\bcela\s+(?:vous|t')\s*aide|\bcomment\s+puis-je\s+(?:vous\s+|t')?aider"
    r"|\balgo\s+más\b|\balguna\s+(?:otra\s+)?(?:pregunta|duda)|\ben\s+qué\s+puedo\s+ayudar|\bmais\s+alguma\s+coisa|\bem\s+que\s+posso\s+ajudar|\bposso\s+ajudar\b"
    r"|\bqualcos'altro\b|\bcome\s+posso\s+aiutar|\bnog\s+(?:iets|vragen)\b|还有(?:什么|其他)|他に(?:何か|ご質問)|何かお手伝い",
    re.IGNORECASE,
)
_OFFER = re.compile(
    r"^(?:so,?\s+|ok(?:ay)?[,.]?\s+)?(?:would\s+you\s+(?:like|prefer)|do\s+you\s+want|want|should|shall|may|can)\s+(?:me|i)\b|\bif\s+you(?:'d)?\s+(?:like|want)\b"
    r"|\bsoll\s+ich\b|\bmöcht(?:est|en)\s+(?:du|sie),?\s+dass\s+ich\b|\b(?:souhaitez|voulez)-vous\s+que\s+je\b|\b(?:quieres|desea|quiere)\s+que\b"
    r"|\bquer\s+que\s+eu\b|\bvuoi\s+che\b|\bwil\s+je\s+dat\s+ik\b|要不要我|需要我",
    re.IGNORECASE,
)
_ACTED = re.compile(
    r"\b(?:done|fixed|finished|all\s+set)\b|\bi(?:'ve|\s+have)?\s+(?:just\s+|now\s+|also\s+)?(?:added|fixed|updated|changed|made|created|removed|renamed|written|wrote|implemented|refactored|moved|sent|booked|replaced|refunded|cancelled|canceled|scheduled|reset|applied|issued|extended|deleted|merged|deployed)\b"
    r"|\bhere(?:'s|\s+is|\s+are)\b|\b(?:erledigt|fertig)\b|\bich\s+habe\b.*\b\w+t\b|\bhier\s+ist\b|\bvoici\b|\bj'ai\s+\w+é\b|\baquí\s+(?:está|tienes)\b|\bhe\s+\w+(?:ado|ido)\b"
    r"|\baqui\s+está\b|\becco\b|\bho\s+\w+(?:ato|ito|uto)\b|\bklaar\b|已(?:经|完成|更新)|しました",
    re.IGNORECASE,
)
_WANTS_QUESTIONS = re.compile(
    r"\bquestions?\b|\bquiz|\bsurvey\b|\binterview|\bfaq\b|\briddle|\bjokes?\b|\btranslat|\brephras|\brewrite\b|\bproofread|\bhow\s+(?:do|would)\s+(?:you|i)\s+say\b"
    r"|\bsay\b.{0,200}\bin\s+(?:french|german|spanish|italian|dutch|japanese|chinese|english|portuguese)\b|\b(?:draft|write|compose)\b.{0,200}(?:\b(?:tweet|slogan|headline|title|poem|story|dialog)\b|\b(?:email|mail|message|letter|reply|post)\b.{0,200}\bask)"
    r"|\bübersetz|\bfragen?\s+für\b|\btradui|\btraduc|\btraduz|\btraduci|\bpreguntas\b|\bperguntas\b|\bvertaal|翻译|翻訳|クイズ",
    re.IGNORECASE,
)
LOOKED_AT = 1600
"""Characters at the end of an answer in which questions are looked for."""
WORDS_BESIDE = 45
"""Words of statements that go with each question before an answer is one that also acts."""


def asks(generation: Generation) -> bool | None:
    """Return whether an answer asks a clarifying question, or for leave, instead of acting.

    A call of a tool acts, but for one that asks the person. A block of code, a finished act, or many
    words beside the question act too: an offer at their end does not count, nor courtesy ("anything
    else?"), a question that the answer itself goes on to answer, one in quotes, or questions that
    were what the person wanted. English, German, French, Spanish, Portuguese, Italian, Dutch,
    Chinese and Japanese; of other languages only the question mark is read. None without content.
    """
    view = view_of(generation)
    if not view.holds:
        return None
    if generation.tool_calls:
        return any(asks_person(call.name) for call in generation.tool_calls)
    text = generation.text
    if not (view.ends_with("question", LOOKED_AT) or view.ends_with("request", LOOKED_AT)):
        return False
    if view.shows_code:
        return False
    said = sentences(in_own_words(text[-LOOKED_AT:]))
    places = [place for place, one in enumerate(said) if _is_question(one)]
    if not places or len(said) - 1 - places[-1] > 2:
        return False
    beside = [one for place, one in enumerate(said) if place not in places]
    words = sum(map(_length, beside)) + max(0, len(text) - LOOKED_AT) // 6
    acted = any(_ACTED.search(one) for one in beside)
    offers = all(_OFFER.search(said[place]) for place in places)
    if (acted and (offers or words > WORDS_BESIDE // 5)) or words > WORDS_BESIDE * len(places):
        return False
    if _answers_itself(said, places):
        return False
    return not _WANTS_QUESTIONS.search(asked(generation, 4000))


def asks_person(tool: str) -> bool:
    """Return whether a tool of this name asks the person."""
    return _TOOLS.search(tool) is not None


def _is_question(sentence: str) -> bool:
    bare = sentence.rstrip("*_)\"' ")
    if not bare.endswith(_MARKS) and not _requests(bare):
        return False
    return not _COURTESY.search(bare)


def _requests(sentence: str) -> bool:
    return signs.holds(sentence.lower(), "request") and _REQUEST.search(sentence) is not None


def _length(sentence: str) -> int:
    """Return about how many words a sentence has; of scripts without spaces, by their characters."""
    return max(len(sentence.split()), len(sentence.encode()) // 9)


def _answers_itself(said: list[str], places: list[int]) -> bool:
    """Whether one question is followed by its answer: "Why? Because …"."""
    after = said[places[-1] + 1 :]
    return len(places) == 1 and sum(map(_length, after)) >= 8 and not _requests(said[places[0]])
