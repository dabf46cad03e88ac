"""The script of a run's widget, in a real browser with a model in place of the kernel's."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from importlib import resources
from typing import Any

import pytest
from browser import chromium
from playwright.sync_api import Page, expect, sync_playwright

from gridcwl.runs.record.counts import StepCounts
from gridcwl.runs.record.status import RunStatus
from gridcwl.runs.report.card import Card, card_html

pytestmark = pytest.mark.browser
EVIL = '<img src=x onerror="window.hacked=1">'
MODEL = """
async ([script, values]) => {
    const widget = (await import(`data:text/javascript;base64,${script}`)).default;
    const listeners = {};
    window.sent = [];
    window.model = {
        get: name => values[name],
        on: (name, call) => { (listeners[name] ??= []).push(call); },
        off: (name, call) => { listeners[name] = listeners[name].filter(one => one !== call); },
        send: content => window.sent.push(content.action),
        change: changed => {
            Object.assign(values, changed);
            for (const name of Object.keys(changed)) for (const call of listeners[`change:${name}`] ?? []) call();
        },
    };
    widget.initialize({model: window.model});
    window.lose = () => { for (const call of listeners.comm_live_update) call(); };
    window.end = widget.render({model: window.model, el: document.getElementById("at")});
    window.listening = () => Object.values(listeners).flat().length;
}
"""


def card(state: str, *, done: int = 0, message: str = "", step: str = "simulate") -> str:
    counts = StepCounts(step=step, total=10, done=done, running=1)
    status = RunStatus("20261129-0815", "", state, "irf.cwl", 1.0, 2.0, 1.0, done, 0, 10, message, (counts,))
    return card_html(Card(status), buttons=True)


@pytest.fixture(scope="module")
def browser_page() -> Iterator[Page]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium(), args=["--no-sandbox"])
        yield browser.new_page(viewport={"width": 900, "height": 700})
        browser.close()


@pytest.fixture
def page(browser_page: Page) -> Page:
    package = resources.files("gridcwl.jupyter")
    style = package.joinpath("run_widget.css").read_text()
    browser_page.goto("about:blank")
    browser_page.set_content(f"<style>{style}</style><div id='at'></div>")
    return browser_page


def shown(page: Page, **values: Any) -> None:
    """Show a widget with these values."""
    script = resources.files("gridcwl.jupyter").joinpath("run_widget.js").read_bytes()
    values = {"card": card("running"), "actions": ["cancel"], "pending": "", "message": "", "answered": True, **values}
    page.evaluate(MODEL, [base64.b64encode(script).decode(), values])


def changed(page: Page, **values: Any) -> None:
    page.evaluate("values => window.model.change(values)", values)


def test_it_reports_that_it_can_be_shown_until_python_has_received_that(page: Page):
    page.clock.install()
    shown(page, answered=False)
    page.clock.run_for(2500)
    assert page.evaluate("window.sent") == ["ready"] * 3
    changed(page, answered=True)
    page.clock.run_for(5000)
    assert page.evaluate("window.sent") == ["ready"] * 3


def test_each_button_sends_its_action_once(page: Page):
    shown(page)
    page.get_by_role("button", name="Cancel").click()
    expect(page.get_by_role("button", name="Cancelling")).to_be_disabled()
    page.get_by_role("button").click(force=True)
    assert page.evaluate("window.sent") == ["cancel"]
    changed(page, pending="cancel")
    expect(page.get_by_role("button", name="Cancelling")).to_be_disabled()
    changed(page, card=card("cancelled"), actions=["resume"])
    changed(page, pending="")
    page.get_by_role("button", name="Resume").click()
    assert page.evaluate("window.sent") == ["cancel", "resume"]


def test_an_action_that_failed_leaves_its_message_and_its_button(page: Page):
    shown(page, actions=["resume"], card=card("failed"))
    page.get_by_role("button", name="Resume").click()
    changed(page, pending="resume")
    changed(page, pending="", message=f"Another process works on it {EVIL}")
    expect(page.get_by_role("status")).to_have_text(f"Another process works on it {EVIL}")
    expect(page.get_by_role("button", name="Resume")).to_be_enabled()


def test_a_kernel_that_does_not_answer_is_reported_with_what_to_do(page: Page):
    page.clock.install()
    shown(page)
    page.get_by_role("button", name="Cancel").click()
    page.clock.fast_forward(5000)
    expect(page.get_by_role("status")).to_contain_text("Interrupt the cell")
    expect(page.get_by_role("button", name="Cancel")).to_be_enabled()  # it may get through the next time
    changed(page, pending="cancel")
    expect(page.locator("[role=status]")).to_be_empty()


def test_an_update_replaces_what_has_changed_and_keeps_what_the_user_has_opened_and_scrolled(page: Page):
    lines = "".join(f"line {n} {'x' * 400}\n" for n in range(100))
    more = f"<details><summary>More</summary>x</details><pre>{lines}</pre>"

    def with_more(html: str, other: str) -> str:
        return html.removesuffix("</div>") + f"<div class='failure'><p>{other}</p>{more}</div></div>"

    shown(page, card=with_more(card("running"), "one"))
    page.evaluate("document.querySelector('table').own = true")
    page.get_by_text("More").click()
    page.evaluate("document.querySelector('pre').scrollTo(30, 120)")
    changed(page, card=with_more(card("running", message="new"), "two"))
    expect(page.locator(".failure p")).to_have_text("two")
    assert page.evaluate("document.querySelector('details').open")
    assert page.evaluate("[document.querySelector('pre').scrollLeft, document.querySelector('pre').scrollTop]") == [
        30,
        120,
    ]
    changed(page, card=card("running", done=3))
    expect(page.locator(".failure")).to_have_count(0)
    expect(page.locator("td.state")).to_contain_text("3 of 10")


def test_nothing_that_a_tool_wrote_is_markup_and_an_unknown_action_has_no_button(page: Page):
    shown(page, card=card("failed", message=EVIL, step=EVIL), actions=["erase", "resume"], message=EVIL)
    expect(page.get_by_role("button")).to_have_count(1)
    expect(page.locator("td").first).to_have_text(EVIL)
    assert page.evaluate("window.hacked === undefined && !document.querySelector('img')")


@pytest.mark.parametrize(("width", "height"), [(320, 600), (900, 700)])
def test_it_fits_a_narrow_page_and_takes_the_colors_of_its_program(page: Page, width: int, height: int):
    page.set_viewport_size({"width": width, "height": height})
    shown(page, card=card("failed", message="m" * 500), actions=["resume"])
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    button = page.get_by_role("button")
    for name, color in (("--vscode-button-background", "rgb(1, 2, 3)"), ("--jp-brand-color1", "rgb(4, 5, 6)")):
        page.evaluate("([name, color]) => document.documentElement.style.setProperty(name, color)", [name, color])
        assert button.evaluate("one => getComputedStyle(one).backgroundColor") == color
    page.evaluate("document.documentElement.removeAttribute('style')")


def test_when_the_kernel_has_ended_the_card_stays_without_buttons_and_with_what_to_do(page: Page):
    shown(page)
    page.evaluate("window.lose()")
    expect(page.get_by_role("button")).to_have_count(0)
    expect(page.get_by_role("status")).to_contain_text("gridcwl.last()")
    expect(page.locator("td.state")).to_contain_text("0 of 10")


def test_a_view_that_is_removed_listens_to_nothing(page: Page):
    shown(page)
    page.evaluate("window.end()")
    assert page.evaluate("window.listening()") == 0
