//! What only Chromium's driver can do: the size of the window, dark mode, the console, pictures.

use serde_json::{Value, json};

use crate::web_driver::Browser;

fn devtools(browser: &mut Browser, command: &str, parameters: Value) -> Value {
    let command = json!({"cmd": command, "params": parameters});
    browser.0.send(("", "POST", "/goog/cdp/execute"), command)
}

/// Sets the size of the page's window.
pub(crate) fn resize(browser: &mut Browser, width: u32, height: u32) {
    let size = json!({"width": width, "height": height, "deviceScaleFactor": 1, "mobile": false});
    devtools(browser, "Emulation.setDeviceMetricsOverride", size);
}

/// Has a preference of its user's, such as `prefers-color-scheme`, and no other.
pub(crate) fn prefer(browser: &mut Browser, feature: &str, value: &str) {
    let feature = json!({"name": feature, "value": value});
    devtools(browser, "Emulation.setEmulatedMedia", json!({"features": [feature]}));
}

/// Presses the tabulator key.
pub(crate) fn press_tab(browser: &mut Browser) {
    for kind in ["rawKeyDown", "keyUp"] {
        let key = json!({"type": kind, "key": "Tab", "code": "Tab", "windowsVirtualKeyCode": 9});
        devtools(browser, "Input.dispatchKeyEvent", key);
    }
}

/// The errors that the console has shown since the last call.
pub(crate) fn errors(browser: &mut Browser) -> Vec<String> {
    let log = browser.0.send(("", "POST", "/se/log"), json!({"type": "browser"}));
    let lines = log.as_array().expect("a log").iter();
    let severe = lines.filter(|line| line["level"] == "SEVERE");
    severe.map(|line| line["message"].as_str().unwrap_or_default().to_owned()).collect()
}

/// A PNG of the window.
pub(crate) fn picture(browser: &mut Browser) -> Vec<u8> {
    let picture = browser.0.send(("", "GET", "/screenshot"), json!({}));
    let picture = picture.as_str().expect("Base64");
    base64::Engine::decode(&base64::engine::general_purpose::STANDARD, picture).expect("Base64")
}
