//! The OpenAPI 3.1 document: the descriptions of the handlers, and what applies to all of them.
//! Never repeats what the code can say.

use crate::http::problem::{MEDIA_TYPE, Problem};
use utoipa::openapi::path::Operation;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{
    ContentBuilder, Ref, RefOr, Required, ResponseBuilder, Schema, SecurityRequirement,
};
use utoipa::{OpenApi, ToSchema};

/// The name of the only security scheme.
const BEARER: &str = "bearer";

/// The parts of the document that belong to no operation.
#[derive(OpenApi)]
#[openapi(
    info(
        title = "milvus-cdc",
        description = "Change data capture for Milvus: tasks, their progress, and what they need. \
                       Every refusal is a problem (RFC 9457) with the field and the remedy."
    ),
    tags(
        (name = "tasks", description = "What is replicated"),
        (name = "progress", description = "How far a task is"),
        (name = "places", description = "Where data come from and go to")
    ),
    components(schemas(Problem))
)]
pub(super) struct Document;

/// Adds the refusals that every operation may answer, and the tokens if they are required.
pub(super) fn complete(
    mut document: utoipa::openapi::OpenApi,
    tokens: bool,
) -> utoipa::openapi::OpenApi {
    for (path, item) in &mut document.paths.paths {
        let of_a_task = path.contains("{task_id}");
        for (changes, operation) in
            [(false, &mut item.get), (true, &mut item.post), (true, &mut item.delete)]
        {
            if let Some(operation) = operation {
                refusals(operation, of_a_task, changes, tokens);
                operation.parameters.iter_mut().flatten().for_each(|parameter| {
                    parameter.schema = Some(id_schema());
                    parameter.required = Required::True;
                });
            }
        }
    }
    if tokens {
        let scheme = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).build();
        let components = document.components.get_or_insert_default();
        components.add_security_scheme(BEARER, SecurityScheme::Http(scheme));
        document.security = Some(vec![SecurityRequirement::new(BEARER, [] as [&str; 0])]);
    }
    document
}

fn refusals(operation: &mut Operation, of_a_task: bool, changes: bool, tokens: bool) {
    let has_body = operation.request_body.is_some();
    if let Some(body) = &mut operation.request_body {
        body.required = Some(Required::True);
    }
    for (applies, status, description) in [
        (has_body, "400", "The body can't be read."),
        (tokens, "401", "The request needs a token."),
        (tokens || changes, "403", "The token does not allow it, or a page of another site asks."),
        (of_a_task, "404", "There is no such task."),
        (changes, "409", "The state of this task or another task is in the way."),
        (true, "413", "The body is too large."),
        (has_body, "415", "The content type is not JSON."),
        (has_body, "422", "The task makes no sense; `field` says where."),
        (true, "500", "An internal fault; the log says more."),
        (true, "503", "Too many requests at a time, try again."),
    ] {
        if applies {
            let problem = ContentBuilder::new()
                .schema(Some(RefOr::<Schema>::Ref(Ref::from_schema_name(Problem::name()))))
                .build();
            let response =
                ResponseBuilder::new().description(description).content(MEDIA_TYPE, problem);
            operation.responses.responses.insert(status.to_owned(), response.build().into());
        }
    }
}

fn id_schema() -> RefOr<Schema> {
    utoipa::openapi::ObjectBuilder::new()
        .schema_type(utoipa::openapi::Type::String)
        .min_length(Some(1))
        .max_length(Some(crate::tasks::ID_MAX))
        .pattern(Some("^[A-Za-z0-9_-]+$"))
        .into()
}
