//! The pages, as HTML.

use axum::response::Html;
use tower_jwt_session::{ReturnTo, Session};

use crate::User;

/// A browser without a session is sent to the login page.
pub(crate) async fn account(session: Session<User>) -> Html<String> {
    let User { name, edits } = session.claims();
    let post = |to, text| format!("<form method=post action=/{to}><button>{text}</button></form>");
    let edit = if *edits { "You are an editor.".into() } else { post("edit", "Become an editor") };
    let logout = post("logout", "Log out") + &post("others", "Log out elsewhere");
    Html(format!("<h1>Account of {}</h1>{logout}{edit}", escape(name)))
}

pub(crate) async fn login(next: ReturnTo) -> Html<String> {
    let next = format!(r#"<input type=hidden name=next value="{}">"#, escape(next.as_str()));
    let fields = format!("<input name=name><input type=checkbox name=remember> Remember me{next}");
    Html(format!("<form method=post>{fields}<button>Log in</button></form>"))
}

/// What users wrote, as text in HTML.
fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
