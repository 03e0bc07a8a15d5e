//! The pages of the shop, as HTML.

use axum::response::Html;
use axum_messages::Messages;

pub fn home(messages: Messages, name: Option<&str>, cart: &[String]) -> Html<String> {
    let who = match name {
        Some(name) => format!("Hello {}", escape(name)),
        None => "Hello visitor".into(),
    };
    let add = "<form method=post action=/cart><input name=item><button>Add</button></form>";
    page(messages, &format!("<p>{who}</p><p>Cart: {}</p>{add}", list(cart)))
}

pub fn login(messages: Messages, next: &str) -> Html<String> {
    let fields = "<input name=name><input name=password type=password>";
    let next = format!(r#"<input type=hidden name=next value="{}">"#, escape(next));
    page(
        messages,
        &format!("<form method=post action=/login>{fields}{next}<button>Log in</button></form>"),
    )
}

pub fn account(messages: Messages, name: &str, cart: &[String]) -> Html<String> {
    let password = "<form method=post action=/password><input name=password type=password></form>";
    let logout = "<form method=post action=/logout><button>Log out</button></form>";
    let text = format!("<p>Account of {}, who buys {}</p>", escape(name), list(cart));
    page(messages, &(text + password + logout))
}

pub fn staff(messages: Messages) -> Html<String> {
    page(
        messages,
        "<form method=post action=/staff><input name=name><button>Make staff</button></form>",
    )
}

fn page(messages: Messages, body: &str) -> Html<String> {
    let messages: String = messages.map(|it| format!("<p>{}</p>", escape(&it.message))).collect();
    Html(format!("<!doctype html><title>Shop</title>{messages}{body}"))
}

fn list(items: &[String]) -> String {
    if items.is_empty() { "nothing".into() } else { escape(&items.join(", ")) }
}

/// What users wrote, as text in HTML.
fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
