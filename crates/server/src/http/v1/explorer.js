// The page of the API: lists the operations of openapi.json and lets one try them.
// Never talks to anything but the service it came from, and stores nothing.
'use strict';

const METHODS = ['get', 'post', 'delete'];

/** An element with its properties and what is in it. */
function make(tag, properties, ...inside) {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...inside.filter((part) => part !== null));
  return element;
}

/** Follows a reference inside the document. */
function resolve(api, schema) {
  if (!schema || !schema.$ref) return schema || {};
  const parts = schema.$ref.replace('#/', '').split('/');
  return parts.reduce((place, part) => place[part], api);
}

/** A type in words. */
function typeOf(schema) {
  if (schema.$ref) return schema.$ref.split('/').pop();
  if (schema.oneOf) return schema.oneOf.map(typeOf).join(' or ');
  const type = [].concat(schema.type || 'any').join(' or ');
  return schema.items ? `${type} of ${typeOf(schema.items)}` : type;
}

/** The properties of a schema as a table. */
function properties(schema) {
  const rows = Object.entries(schema.properties || {}).map(([name, property]) => {
    const needed = (schema.required || []).includes(name) ? ', required' : '';
    return make('tr', {},
      make('td', {}, make('code', { textContent: name })),
      make('td', { textContent: typeOf(property) + needed }),
      make('td', { textContent: property.description || '' }));
  });
  return make('table', {}, ...rows);
}

/** What an operation may answer. */
function answers(operation) {
  const rows = Object.entries(operation.responses).map(([status, answer]) =>
    make('tr', {}, make('td', { textContent: status }),
      make('td', { textContent: answer.description })));
  return make('details', {}, make('summary', { textContent: 'Answers' }), make('table', {}, ...rows));
}

/** Sends a request and shows what comes back. */
async function send(method, path, inputs, body, output) {
  const filled = path.replace(/\{(\w+)\}/g, (_, name) => encodeURIComponent(inputs[name].value));
  const headers = {};
  const token = document.getElementById('token').value;
  if (token) headers.Authorization = `Bearer ${token}`;
  if (body) headers['Content-Type'] = 'application/json';
  output.textContent = '…';
  try {
    const answer = await fetch(filled, {
      method: method.toUpperCase(), headers, body: body ? body.value : undefined,
    });
    const text = await answer.text();
    let shown = text;
    try { shown = JSON.stringify(JSON.parse(text), null, 2); } catch { /* shown as it came */ }
    output.textContent = `${answer.status} ${answer.statusText}\n${shown}`;
  } catch (error) {
    output.textContent = `The service does not answer: ${error.message}`;
  }
}

/** One operation. */
function operationOf(api, path, method, operation) {
  const inputs = {};
  const fields = (operation.parameters || []).map((parameter) => {
    const input = make('input', { placeholder: String(parameter.example || '') });
    inputs[parameter.name] = input;
    return make('label', {}, parameter.name, input);
  });
  const content = operation.requestBody && operation.requestBody.content['application/json'];
  const body = content
    ? make('textarea', { value: JSON.stringify(content.example || {}, null, 2), spellcheck: false })
    : null;
  const output = make('pre', { textContent: 'Not sent yet.' });
  const form = make('form', {}, ...fields, body, make('button', { textContent: 'Send' }));
  form.addEventListener('submit', (event) => {
    event.preventDefault();
    send(method, path, inputs, body, output);
  });
  return make('details', { id: operation.operationId },
    make('summary', {}, make('b', { textContent: method }), make('code', { textContent: path }),
      ` ${operation.summary || ''}`),
    make('p', { textContent: operation.description || '' }),
    content ? properties(resolve(api, content.schema)) : null,
    form, output, answers(operation));
}

/** All operations, by tag. */
function show(api) {
  document.getElementById('title').textContent = `${api.info.title} ${api.info.version}`;
  document.getElementById('about').textContent = api.info.description;
  const sections = api.tags.map((tag) => {
    const operations = Object.entries(api.paths).flatMap(([path, item]) =>
      METHODS.filter((method) => item[method] && item[method].tags.includes(tag.name))
        .map((method) => operationOf(api, path, method, item[method])));
    return make('section', {}, make('h2', { textContent: tag.description }), ...operations);
  });
  document.getElementById('operations').replaceChildren(...sections);
}

fetch('/api/v1/openapi.json')
  .then((answer) => answer.json())
  .then(show)
  .catch((error) => {
    const text = `The document can't be read: ${error.message}`;
    document.getElementById('operations').replaceChildren(
      make('p', { className: 'error', textContent: text }));
  });
