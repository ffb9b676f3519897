//! `#[commands]`: from an `impl` block to a closed enum, its dispatcher and a typed handle. Nothing that one couldn't
//! write by hand; documented, with an example, as `process::commands`.

#![forbid(unsafe_code)]

mod commands;

use proc_macro::TokenStream;

/// See `process::commands`.
#[proc_macro_attribute]
pub fn commands(arguments: TokenStream, item: TokenStream) -> TokenStream {
    let expanded = if arguments.is_empty() {
        syn::parse(item).and_then(commands::expand)
    } else {
        Err(syn::Error::new(proc_macro2::Span::call_site(), "#[commands] takes no arguments"))
    };
    expanded.unwrap_or_else(syn::Error::into_compile_error).into()
}
