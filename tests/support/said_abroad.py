"""Messages by hand in four languages: what people wrote back, satisfied or not, each unlike the others.

A message is an opening, what it is about, and an ending, so that hardly any is written twice; Chinese
and Japanese have no spaces between them, as people write.
"""

import random
from typing import NamedTuple

from rlwd.rewards.satisfaction.labels import Labelled
from rlwd.rewards.satisfaction.message import NextMessage


class Phrases(NamedTuple):
    """What messages of a language are made of."""

    taken: tuple[str, ...]
    """Openings of who is satisfied."""
    turned_down: tuple[str, ...]
    """Openings of who is not."""
    things: tuple[str, ...]
    """What is spoken of; it says nothing."""
    ends: tuple[str, ...]
    """Endings, which say nothing either."""
    space: str
    """What stands between."""


ABROAD = {
    "German": Phrases(
        (
            "danke, das passt, jetzt",
            "super, als Nächstes",
            "perfekt, und nun",
            "klappt, bitte auch",
            "genau so, weiter mit",
        ),
        (
            "das ist falsch, es geht um",
            "funktioniert immer noch nicht:",
            "nein, ich meinte",
            "du hast vergessen:",
            "stimmt nicht, schau auf",
        ),
        (
            "die Überschrift",
            "der Zeitplan",
            "die Tabelle",
            "das Formular",
            "die Rechnung",
            "der Anhang",
            "die Liste",
            "das Datum",
            "der Vertrag",
            "die Fußzeile",
        ),
        ("", "für Montag", "im Bericht", "auf Seite drei", "wie besprochen", "in der Mail"),
        " ",
    ),
    "Chinese": Phrases(
        (
            "谢谢可以了接下来看",
            "太好了然后改",
            "很好现在加上",
            "没问题了再整理",
            "正是我要的继续写",
        ),
        ("不对应该是", "还是不行你看", "错了我说的是", "你漏掉了", "为什么又删了"),
        (
            "标题的颜色",
            "客户的名单",
            "上个月的账单",
            "表格第三列",
            "登录的页面",
            "合同的日期",
            "附件的格式",
            "排序的函数",
            "会议的时间",
            "报告的结尾",
        ),
        ("", "在文档里", "给周一用", "第三页那里", "如我们所说", "邮件里的"),
        "",
    ),
    "Japanese": Phrases(
        (
            "ありがとう助かりました次は",
            "完璧ですでは",
            "いいですね続けて",
            "うまくいきました今度は",
            "その通りです次に",
        ),
        ("違います", "まだ動きません", "そうではなくて", "忘れています", "間違っています"),
        (
            "見出しの色",
            "顧客の一覧",
            "先月の請求書",
            "表の三列目",
            "ログイン画面",
            "契約の日付",
            "添付の形式",
            "並べ替えの関数",
            "会議の時間",
            "報告の最後",
        ),
        ("", "の部分です", "を見てください", "のところ", "についてです", "の件です"),
        "",
    ),
    "Spanish": Phrases(
        (
            "gracias, ahora mira",
            "perfecto, sigue con",
            "muy bien, añade también",
            "funciona, el siguiente es",
            "justo lo que quería, continúa con",
        ),
        (
            "está mal, se trata de",
            "sigue sin funcionar:",
            "no, me refería a",
            "te olvidaste de",
            "eso no es lo que pedí, revisa",
        ),
        (
            "el título",
            "la lista de clientes",
            "la factura",
            "la tabla",
            "el formulario",
            "la fecha",
            "el contrato",
            "el anexo",
            "la función",
            "el final",
        ),
        ("", "para el lunes", "en el informe", "en la página tres", "como dijimos", "del correo"),
        " ",
    ),
}


def said_abroad(
    language: str, count: int, *, people: int = 60, seed: int = 0, noise: float = 0.1
) -> list[Labelled]:
    """Return so many messages of so many people; a share `noise` is labelled by a coin."""
    rng, of = random.Random(f"{language} {seed}"), ABROAD[language]
    found = []
    for number in range(count):
        satisfied = rng.random() < 0.6
        opening = rng.choice(of.taken if satisfied else of.turned_down)
        told = [opening, rng.choice(of.things), rng.choice(of.ends)]
        label = rng.random() < 0.5 if rng.random() < noise else satisfied
        found.append(
            Labelled(
                message=NextMessage(text=of.space.join(one for one in told if one)),
                satisfied=label,
                person=f"{language}{seed}-{number % people}",
                at=float(number),
            )
        )
    return found
