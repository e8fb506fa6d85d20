# SPDX-License-Identifier: Apache-2.0
"""Debian's Chromium without a window, by chromedriver."""
import atexit
import json
import os
import shutil
import sys

import bbtest
from bbtest import Skip, folder
from bbstore import wait_until

# Debian's package lies beside Debian's python, which need not be the one that runs this.
sys.path.append("/usr/lib/python3/dist-packages")
try:
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service
except ImportError as error:
    webdriver, MISSING = None, str(error)


class Browser:
    """One window. `dark` and `width` are what the page finds."""

    def __init__(self, width=1280, height=1000, dark=False):
        chromium, driver = shutil.which("chromium"), shutil.which("chromedriver")
        if webdriver is None:
            raise Skip(f"package python3-selenium: {MISSING}")
        if chromium is None or driver is None:
            raise Skip("packages chromium and chromium-driver are not installed")
        options = webdriver.ChromeOptions()
        options.binary_location = chromium
        for word in ("--headless=new", "--disable-gpu", "--no-first-run", "--hide-scrollbars",
                     "--disable-dev-shm-usage", "--disable-background-networking",
                     "--force-prefers-reduced-motion", "--user-data-dir=" + folder()):
            options.add_argument(word)
        if os.geteuid() == 0:
            options.add_argument("--no-sandbox")
        options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
        for _ in range(3):  # a busy machine may take longer than chromedriver waits for
            service = Service(driver, port=bbtest.free_port())
            try:
                self.driver, why = webdriver.Chrome(service=service, options=options), None
                break
            except Exception as error:  # pylint: disable=broad-except
                service.stop()
                self.driver, why = None, error
        if why is not None:
            raise Skip(f"Chromium does not start here: {str(why).splitlines()[0]}") from why
        atexit.register(self.close)
        self.look(width, height, dark)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        if self.driver is not None:
            self.driver.quit()
        self.driver = None

    def look(self, width, height, dark=False):
        """Size of the page's window in CSS pixels, and the colours the reader prefers."""
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", {
            "width": width, "height": height, "deviceScaleFactor": 1, "mobile": False})
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [
            {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]})

    def open(self, url):
        self.driver.get(url)

    def js(self, text, *arguments):
        return self.driver.execute_script("return " + text, *arguments)

    def text(self, css):
        return self.js("document.querySelector(arguments[0]).textContent", css)

    def raw(self, css):
        """The figure behind an element's text, None while there is none."""
        value = self.js("document.querySelector(arguments[0]).dataset.raw", css)
        return None if value is None else json.loads(value)

    def until(self, text, what, seconds=60):
        return wait_until(lambda: self.js(text), what, seconds, step=0.1)

    def press(self, *keys):
        from selenium.webdriver import ActionChains  # pylint: disable=import-outside-toplevel
        ActionChains(self.driver).send_keys(*keys).perform()

    def complaints(self):
        """What the console has said since the last call, but for advice on reading pixels back,
        which the tests do and the page does not."""
        return [f"{line['level']}: {line['message']}" for line in self.driver.get_log("browser")
                if "willReadFrequently" not in line["message"]]

    def picture(self, path):
        """The whole page as PNG."""
        height = self.js("document.documentElement.scrollHeight")
        width = self.js("window.innerWidth")
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", {
            "width": width, "height": height, "deviceScaleFactor": 1, "mobile": False})
        with open(path, "wb") as file:
            file.write(self.driver.get_screenshot_as_png())
