from pipelines.report.render import breakable


def test_a_long_name_may_be_broken_between_its_words_and_stays_text() -> None:
    assert breakable("timm:vit_b@a/b.pth") == ("timm:<wbr>vit_<wbr>b@<wbr>a/<wbr>b.<wbr>pth")
    assert breakable("<b>&mae") == "&lt;b&gt;&amp;mae"
