//! Reads the signatures and writes the three items.

use proc_macro2::{Span, TokenStream};
use quote::{format_ident, quote};
use syn::{
    Attribute, Error, FnArg, Ident, ImplItem, ImplItemFn, ItemImpl, Meta, Pat, ReturnType, Type, Visibility,
    ext::IdentExt, spanned::Spanned,
};

/// One command: a public method.
struct Command<'a> {
    documentation: Vec<&'a Attribute>,
    /// `#[cfg]`: where it isn't compiled, nothing of it is.
    conditions: Vec<&'a Attribute>,
    method: &'a Ident,
    variant: Ident,
    arguments: Vec<Argument<'a>>,
    answer: TokenStream,
    is_async: bool,
}

enum Argument<'a> {
    /// Travels in the message.
    Sent(&'a Ident, &'a Type),
    /// `&mut Context<Self>`: the child's own.
    Context,
    /// `Shared<Self>`: the same, of an asynchronous one.
    Shared,
}

pub fn expand(block: ItemImpl) -> Result<TokenStream, Error> {
    let name = type_name(&block)?;
    let methods = block.items.iter().filter_map(|item| match item {
        ImplItem::Fn(method) if matches!(method.vis, Visibility::Public(_)) => Some(method),
        _ => None,
    });
    let commands = methods.map(read).collect::<Result<Vec<_>, _>>()?;
    let (command, handle) = (format_ident!("{name}Command"), format_ident!("{name}Handle"));
    let enumeration = enumeration(&name, &command, &commands);
    let dispatcher = dispatcher(&block, &command, &handle, &commands);
    let handle = typed_handle(&name, &command, &handle, &commands);
    Ok(quote! { #block #enumeration #dispatcher #handle })
}

fn type_name(block: &ItemImpl) -> Result<Ident, Error> {
    match (&block.trait_, &*block.self_ty) {
        (None, Type::Path(path)) => path.path.segments.last().map(|segment| segment.ident.clone()),
        _ => None,
    }
    .ok_or_else(|| Error::new(block.self_ty.span(), "#[commands] stands on an inherent `impl` of a named type"))
}

const PLAIN_TAKES: &str = "a command takes `&self` or `&mut self`; make other methods private";
const ASYNC_TAKES: &str = "an async command can't have `self` to itself, since other commands run while it awaits: it takes \
                           `this: Shared<Self>` first, and reaches the process by `this.with(|process| …)`";
const ASYNC_CONTEXT: &str = "an async command can't hold the context, since other commands run while it awaits: it is \
                             reached by `this.with_context(|process, cx| …)`";

/// What a handle has beside its commands; the typed one would hide it, and who calls it would say something to the process instead.
const TAKEN: [&str; 21] = [
    "name",
    "status",
    "call",
    "events",
    "on_event",
    "state",
    "is_alive",
    "process_id",
    "restarts",
    "recycled",
    "exit",
    "last_exit",
    "join",
    "join_for",
    "ended",
    "stop",
    "terminate",
    "kill",
    "interrupt",
    "detach",
    "clone",
];

fn read(method: &ImplItemFn) -> Result<Command<'_>, Error> {
    let signature = &method.sig;
    if !signature.generics.params.is_empty() {
        return Err(Error::new(signature.span(), "a command isn't generic: it is a message"));
    }
    let name = signature.ident.unraw().to_string();
    if TAKEN.contains(&name.as_str()) {
        let told = format!(
            "a command can't be called `{name}`: every handle has a method of that name, see `process::Handle`"
        );
        return Err(Error::new(signature.ident.span(), told));
    }
    let is_async = signature.asyncness.is_some();
    let mut inputs = signature.inputs.iter();
    match inputs.next() {
        Some(FnArg::Typed(first)) if is_async && is_named(&first.ty, "Shared") => {}
        Some(FnArg::Receiver(receiver)) if receiver.reference.is_some() && !is_async => {}
        first => {
            let told = if is_async { ASYNC_TAKES } else { PLAIN_TAKES };
            return Err(Error::new(first.map_or_else(|| signature.span(), Spanned::span), told));
        }
    }
    let mut arguments = inputs.map(|input| argument(input, is_async)).collect::<Result<Vec<_>, _>>()?;
    if is_async {
        arguments.insert(0, Argument::Shared);
    }
    let answer = match &signature.output {
        ReturnType::Default => quote!(()),
        ReturnType::Type(_, answer) => quote!(#answer),
    };
    let attributes = |name| method.attrs.iter().filter(move |attribute: &&Attribute| attribute.path().is_ident(name));
    let (documentation, conditions) = (attributes("doc").collect(), attributes("cfg").collect());
    let Ok(mut variant) = syn::parse_str::<Ident>(&pascal(&name)) else {
        let told =
            format!("a command can't be called `{name}`: as `{}` it would be a variant of an enum", pascal(&name));
        return Err(Error::new(signature.ident.span(), told));
    };
    variant.set_span(signature.ident.span());
    Ok(Command { documentation, conditions, method: &signature.ident, variant, arguments, answer, is_async })
}

fn argument(input: &FnArg, is_async: bool) -> Result<Argument<'_>, Error> {
    let FnArg::Typed(typed) = input else { return Err(Error::new(input.span(), "a second self")) };
    match (&*typed.pat, &*typed.ty) {
        (_, Type::Reference(reference)) if is_named(&reference.elem, "Context") && is_async => {
            Err(Error::new(input.span(), ASYNC_CONTEXT))
        }
        (_, Type::Reference(reference)) if is_named(&reference.elem, "Context") => Ok(Argument::Context),
        (_, kind) if is_named(kind, "Shared") => {
            Err(Error::new(input.span(), "`Shared<Self>` is the first argument of an `async` command, and of no other"))
        }
        (_, Type::Reference(_)) => Err(Error::new(input.span(), "a command's arguments travel, so they are owned")),
        (Pat::Ident(name), kind) => Ok(Argument::Sent(&name.ident, kind)),
        _ => Err(Error::new(input.span(), "a command's argument has a plain name, which is its name in the message")),
    }
}

fn is_named(kind: &Type, name: &str) -> bool {
    matches!(kind, Type::Path(path) if path.path.segments.last().is_some_and(|last| last.ident == name))
}

fn pascal(snake: &str) -> String {
    let capital = |word: &str| {
        let mut letters = word.chars();
        letters.next().into_iter().flat_map(char::to_uppercase).chain(letters).collect::<String>()
    };
    snake.split('_').map(capital).collect()
}

impl Command<'_> {
    fn signature(&self) -> String {
        let (method, answer, (names, kinds)) = (self.method, &self.answer, self.sent());
        quote!(#method(#(#names: #kinds),*) -> #answer;).to_string()
    }

    fn sent(&self) -> (Vec<&Ident>, Vec<&Type>) {
        let sent = self.arguments.iter().filter_map(|argument| match argument {
            Argument::Sent(name, kind) => Some((*name, *kind)),
            Argument::Context | Argument::Shared => None,
        });
        sent.unzip()
    }

    /// Its arm of the dispatcher. The dispatcher's own names are hygienic: a command's argument may have them too.
    fn arm(&self, command: &Ident, this: &Ident) -> TokenStream {
        let own = |name| Ident::new(name, Span::mixed_site());
        let (process, cx) = (own("process"), own("cx"));
        let (variant, method, (names, _)) = (&self.variant, self.method, self.sent());
        let passed = self.arguments.iter().map(|argument| match argument {
            Argument::Sent(name, _) => quote!(#name),
            Argument::Context => quote!(#cx),
            Argument::Shared => quote!(#this),
        });
        let done = if self.is_async {
            quote! {{
                let #this = ::core::clone::Clone::clone(#this);
                ::process::macro_support::Dispatched::Begun(::std::boxed::Box::pin(async move {
                    ::process::macro_support::Packet::encode(&Self::#method(#(#passed),*).await)
                }))
            }}
        } else {
            quote! {
                ::process::macro_support::Dispatched::Done(#this.with_context(|#process, #cx| {
                    ::process::macro_support::Packet::encode(&#process.#method(#(#passed),*))
                }))
            }
        };
        let conditions = &self.conditions;
        quote!(#(#conditions)* #command::#variant { #(#names),* } => #done)
    }
}

fn enumeration(name: &Ident, command: &Ident, commands: &[Command<'_>]) -> TokenStream {
    let variants = commands.iter().map(|each| {
        let (documentation, conditions) = (&each.documentation, &each.conditions);
        let (variant, (names, kinds)) = (&each.variant, each.sent());
        quote! { #(#documentation)* #(#conditions)* #variant { #( #[allow(missing_docs)] #names: #kinds ),* } }
    });
    let title = format!("What can be asked of a [`{name}`].");
    quote! {
        #[doc = #title]
        #[derive(::process::macro_support::Serialize, ::process::macro_support::Deserialize)]
        #[serde(crate = "::process::macro_support::serde", rename_all = "snake_case")]
        pub enum #command { #(#variants),* }
    }
}

fn dispatcher(block: &ItemImpl, command: &Ident, handle: &Ident, commands: &[Command<'_>]) -> TokenStream {
    let (generics, _, condition) = block.generics.split_for_impl();
    let this = &block.self_ty;
    let shared = Ident::new("this", Span::mixed_site());
    let arms = commands.iter().map(|each| each.arm(command, &shared));
    let protocol = fingerprint(commands);
    quote! {
        impl #generics ::process::Commands for #this #condition {
            type Command = #command;
            type Handle = #handle;
            const PROTOCOL: u64 = #protocol;

            #[allow(unused_variables)]
            fn dispatch(
                #shared: &::process::Shared<Self>,
                command: #command,
            ) -> ::process::macro_support::Dispatched {
                match command { #(#arms),* }
            }
        }
    }
}

fn typed_handle(name: &Ident, command: &Ident, handle: &Ident, commands: &[Command<'_>]) -> TokenStream {
    let methods = commands.iter().map(|each| {
        let Command { documentation, conditions, method, variant, answer, .. } = each;
        let (names, kinds) = each.sent();
        quote! {
            #(#documentation)*
            #(#conditions)*
            pub fn #method(&self, #(#names: #kinds),*) -> ::process::Call<#answer> {
                self.0.call(&#command::#variant { #(#names),* })
            }
        }
    });
    let title = format!("A running [`{name}`], seen from the process that spawned it.");
    quote! {
        #[doc = #title]
        #[derive(Clone, Debug)]
        pub struct #handle(::process::Handle);

        impl #handle { #(#methods)* }

        impl ::core::convert::From<::process::Handle> for #handle {
            fn from(handle: ::process::Handle) -> Self {
                Self(handle)
            }
        }

        impl ::core::ops::Deref for #handle {
            type Target = ::process::Handle;
            fn deref(&self) -> &::process::Handle {
                &self.0
            }
        }
    }
}

/// FNV-1a over the signatures: two builds that disagree about them find out before the first command. Those that aren't in every
/// build count where they are.
fn fingerprint(commands: &[Command<'_>]) -> TokenStream {
    let hash = |text: &str| {
        text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
    };
    let (always, sometimes): (Vec<_>, Vec<_>) = commands.iter().partition(|each| each.conditions.is_empty());
    let always = hash(&always.into_iter().map(Command::signature).collect::<String>());
    let sometimes = sometimes.into_iter().map(|each| {
        let predicates = each.conditions.iter().filter_map(|condition| match &condition.meta {
            Meta::List(list) => Some(&list.tokens),
            _ => None,
        });
        let hash = hash(&each.signature());
        quote!(if cfg!(all(#(#predicates),*)) { #hash } else { 0 })
    });
    quote!(#always #(^ #sometimes)*)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the compiler says of a command.
    fn error_of(command: &str) -> String {
        let block = syn::parse_str(&format!("impl Detector {{ {command} }}")).unwrap();
        expand(block).unwrap_err().to_string()
    }

    #[test]
    fn a_command_that_cannot_be_one_is_told_what_to_take_instead() {
        for plain in
            ["pub async fn f(&mut self) {}", "pub async fn f(&self, url: String) {}", "pub async fn f(url: String) {}"]
        {
            assert!(error_of(plain).contains("it takes `this: Shared<Self>` first"), "{plain}");
        }
        assert!(error_of("pub async fn f() {}").contains("it takes `this: Shared<Self>` first"));
        assert!(error_of("pub async fn f(this: &Shared<Self>) {}").contains("it takes `this: Shared<Self>` first"));
        let context = "pub async fn f(this: Shared<Self>, cx: &mut Context<Self>) {}";
        assert!(error_of(context).contains("`this.with_context(|process, cx| …)`"));
        assert!(error_of("pub fn f(this: Shared<Self>) {}").contains("takes `&self` or `&mut self`"));
        assert!(error_of("pub fn f(&mut self, this: Shared<Self>) {}").contains("and of no other"));
        assert!(error_of("pub async fn f(this: Shared<Self>, name: &str) {}").contains("owned"));
        assert!(error_of("pub async fn f<T>(this: Shared<Self>, of: T) {}").contains("generic"));
    }

    #[test]
    fn both_sorts_of_commands_have_a_place_in_the_dispatcher_and_private_methods_none() {
        let block = syn::parse_quote! {
            impl Detector {
                pub async fn fetch(this: process::Shared<Self>, url: String) -> u64 { 0 }
                pub fn add(&mut self, process: u64, cx: &mut Context<Self>) {}
                async fn helper(&mut self) {}
            }
        };
        let written = expand(block).unwrap();
        let file: syn::File = syn::parse2(written).unwrap();
        let variants = file.items.iter().find_map(|item| match item {
            syn::Item::Enum(commands) => {
                Some(commands.variants.iter().map(|v| v.ident.to_string()).collect::<Vec<_>>())
            }
            _ => None,
        });
        assert_eq!(variants.unwrap(), ["Fetch", "Add"]);
    }

    #[test]
    fn a_name_that_every_handle_has_is_refused() {
        let file = syn::parse_file(include_str!("../../src/handle.rs")).unwrap();
        let blocks = file.items.into_iter().filter_map(|item| match item {
            syn::Item::Impl(block) if block.trait_.is_none() && type_name(&block).unwrap() == "Handle" => Some(block),
            _ => None,
        });
        let methods = blocks.flat_map(|block| block.items).filter_map(|item| match item {
            ImplItem::Fn(method) if matches!(method.vis, Visibility::Public(_)) => Some(method.sig.ident.to_string()),
            _ => None,
        });
        let methods: Vec<String> = methods.collect();
        assert!(methods.len() > 10, "{methods:?}");
        for name in methods.iter().map(String::as_str).chain(["clone", "r#clone"]) {
            let told = error_of(&format!("pub fn {name}(&mut self) {{}}"));
            assert!(told.contains("every handle has a method of that name"), "{name}: {told}");
        }
    }

    #[test]
    fn any_other_name_is_a_variant_or_refused() {
        let variant = |name: &str| {
            let block = syn::parse_str(&format!("impl Detector {{ pub fn {name}(&mut self) {{}} }}")).unwrap();
            expand(block).map(|written| written.to_string()).map_err(|error| error.to_string())
        };
        for (name, expected) in [("r#move", "Move { }"), ("über_alles", "ÜberAlles { }"), ("a__b", "AB { }")] {
            assert!(variant(name).unwrap().contains(expected), "{name}");
        }
        for none in ["__", "_1", "self_"] {
            assert!(variant(none).unwrap_err().contains("it would be a variant"), "{none}");
        }
    }
}
