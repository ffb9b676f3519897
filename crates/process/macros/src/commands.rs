//! Reads the signatures and writes the three items.

use proc_macro2::TokenStream;
use quote::{format_ident, quote};
use syn::{
    Attribute, Error, FnArg, Ident, ImplItem, ImplItemFn, ItemImpl, Pat, ReturnType, Type, Visibility, spanned::Spanned,
};

/// One command: a public method.
struct Command<'a> {
    documentation: Vec<&'a Attribute>,
    method: &'a Ident,
    variant: Ident,
    arguments: Vec<Argument<'a>>,
    answer: TokenStream,
}

enum Argument<'a> {
    /// Travels in the message.
    Sent(&'a Ident, &'a Type),
    /// `&mut Context<Self>`: the child's own.
    Context,
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

fn read(method: &ImplItemFn) -> Result<Command<'_>, Error> {
    let signature = &method.sig;
    if signature.asyncness.is_some() || !signature.generics.params.is_empty() {
        return Err(Error::new(signature.span(), "a command is neither async nor generic: it is a message"));
    }
    let mut inputs = signature.inputs.iter();
    if !matches!(inputs.next(), Some(FnArg::Receiver(receiver)) if receiver.reference.is_some()) {
        return Err(Error::new(signature.span(), "a command takes `&self` or `&mut self`; make other methods private"));
    }
    let arguments = inputs.map(argument).collect::<Result<Vec<_>, _>>()?;
    let answer = match &signature.output {
        ReturnType::Default => quote!(()),
        ReturnType::Type(_, answer) => quote!(#answer),
    };
    let documentation = method.attrs.iter().filter(|attribute| attribute.path().is_ident("doc")).collect();
    let variant = format_ident!("{}", pascal(&signature.ident.to_string()), span = signature.ident.span());
    Ok(Command { documentation, method: &signature.ident, variant, arguments, answer })
}

fn argument(input: &FnArg) -> Result<Argument<'_>, Error> {
    let FnArg::Typed(typed) = input else { return Err(Error::new(input.span(), "a second self")) };
    match (&*typed.pat, &*typed.ty) {
        (_, Type::Reference(reference)) if is_context(&reference.elem) => Ok(Argument::Context),
        (_, Type::Reference(_)) => Err(Error::new(input.span(), "a command's arguments travel, so they are owned")),
        (Pat::Ident(name), kind) => Ok(Argument::Sent(&name.ident, kind)),
        _ => Err(Error::new(input.span(), "a command's argument has a plain name, which is its name in the message")),
    }
}

fn is_context(kind: &Type) -> bool {
    matches!(kind, Type::Path(path) if path.path.segments.last().is_some_and(|last| last.ident == "Context"))
}

fn pascal(snake: &str) -> String {
    let capital = |word: &str| word[..1].to_uppercase() + &word[1..];
    snake.split('_').filter(|word| !word.is_empty()).map(capital).collect()
}

impl Command<'_> {
    fn sent(&self) -> (Vec<&Ident>, Vec<&Type>) {
        let sent = self.arguments.iter().filter_map(|argument| match argument {
            Argument::Sent(name, kind) => Some((*name, *kind)),
            Argument::Context => None,
        });
        sent.unzip()
    }
}

fn enumeration(name: &Ident, command: &Ident, commands: &[Command<'_>]) -> TokenStream {
    let variants = commands.iter().map(|each| {
        let (documentation, variant, (names, kinds)) = (&each.documentation, &each.variant, each.sent());
        quote! { #(#documentation)* #variant { #( #[allow(missing_docs)] #names: #kinds ),* } }
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
    let arms = commands.iter().map(|each| {
        let (variant, method, (names, _)) = (&each.variant, each.method, each.sent());
        let passed = each.arguments.iter().map(|argument| match argument {
            Argument::Sent(name, _) => quote!(#name),
            Argument::Context => quote!(cx),
        });
        quote! {
            #command::#variant { #(#names),* } => ::process::macro_support::Packet::encode(&self.#method(#(#passed),*))
        }
    });
    let protocol = fingerprint(commands);
    quote! {
        impl #generics ::process::Commands for #this #condition {
            type Command = #command;
            type Handle = #handle;
            const PROTOCOL: u64 = #protocol;

            #[allow(unused_variables)]
            fn dispatch(
                &mut self,
                command: #command,
                cx: &mut ::process::Context<Self>,
            ) -> ::core::result::Result<::process::macro_support::Packet, ::process::macro_support::EncodeError> {
                match command { #(#arms),* }
            }
        }
    }
}

fn typed_handle(name: &Ident, command: &Ident, handle: &Ident, commands: &[Command<'_>]) -> TokenStream {
    let methods = commands.iter().map(|each| {
        let Command { documentation, method, variant, answer, .. } = each;
        let (names, kinds) = each.sent();
        quote! {
            #(#documentation)*
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

/// FNV-1a over the signatures: two builds that disagree about them find out before the first command.
fn fingerprint(commands: &[Command<'_>]) -> u64 {
    let text: String = commands
        .iter()
        .map(|each| {
            let (names, kinds) = each.sent();
            let (method, answer) = (each.method, &each.answer);
            quote!(#method(#(#names: #kinds),*) -> #answer;).to_string()
        })
        .collect();
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}
