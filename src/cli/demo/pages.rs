//! The pages of the demo, as text. Whatever a visitor typed is escaped on its way into one.

use crate::cli::demo::http::Response;

pub(crate) fn page(title: &str, body: &str) -> Response {
    Response {
        status: "200 OK",
        content_type: "text/html; charset=utf-8",
        body: format!(
            "<!DOCTYPE html>\n<html lang=\"en\"><head><title>{title}</title><style>\
             body {{ font: 16px/1.5 sans-serif; margin: 3em auto; max-width: 40em; }} nav a {{ margin-right: 1em; }}\
             </style></head><body>\n{body}\n<nav><a href=\"/\">start</a> <a href=\"/login\">login</a> \
             <a href=\"/counter\">counter</a> <a href=\"/check\">check</a> \
             <a href=\"/create_token\">create token</a> <a href=\"/check_token\">check token</a> \
             <a href=\"/logout\">logout</a></nav></body></html>\n"
        ),
        set_cookie: None,
    }
}

pub(crate) fn login_form() -> Response {
    page(
        "Login",
        "<form method=\"POST\" action=\"/login\"><label>Name <input name=\"name\" required autofocus></label> \
         <input type=\"submit\" value=\"Login\"></form>",
    )
}

pub(crate) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            c => escaped.push(c),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_name_cannot_become_markup() {
        let name = "<script a='b' c=\"d\">&";
        assert_eq!(
            super::escape(name),
            "&lt;script a=&#39;b&#39; c=&quot;d&quot;&gt;&amp;"
        );
    }
}
