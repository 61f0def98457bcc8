"""Names of columns as they are compared: case, width, separators and the Chinese script make no difference."""

from __future__ import annotations

import re
import unicodedata

_SIMPLIFIED = str.maketrans(
    "價體復覆實對內關別圖類係結編評論設詞譯話詢語負輸選擇問間項領題數標簽籤檔註總還號電確稱來訊劃範應會員無與於後記錄時歷買賣點檢證顧戶統據樣備開終",
    "价体复复实对内关别图类系结编评论设词译话询语负输选择问间项领题数标签签档注总还号电确称来讯划范应会员无与于后记录时历买卖点检证顾户统据样备开终",
)
"""Traditional characters of the words that head columns, and their simplified forms."""
_NUMERALS = str.maketrans("一二三四五六七八九", "123456789")


def folded(name: str) -> str:
    """Return a name in simplified Chinese with case, width and separators folded; `句子一` is `句子1`."""
    name = unicodedata.normalize("NFKC", name).strip().casefold().translate(_SIMPLIFIED)
    if len(name) > 1 and "\u4e00" <= name[-2] <= "\u9fff":
        name = name[:-1] + name[-1].translate(_NUMERALS)
    return re.sub(r"[\s\-.]+", "_", name)
