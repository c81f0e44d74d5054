// What the pages of the demo have in common, given to the script that follows in each of them.
const $ = (id) => document.getElementById(id)
const number = new Intl.NumberFormat('en')
/** `1 thing`, `2 things`. */
const counted = (count, one, many = `${one}s`) => `${number.format(count)} ${count === 1 ? one : many}`

/** The note at the lower edge of the window. */
const say = (text, bad = false) => {
  $('note').textContent = text
  $('note').classList.toggle('bad', bad)
}

/** One request; rejects with a sentence. `options` are those of `fetch`. */
const ask = async (method, path, body, options = {}) => {
  let response
  try {
    response = await fetch(path, {
      ...options,
      method,
      headers: { 'X-Nonstick-Demo': '1', ...(body === undefined ? {} : { 'Content-Type': 'application/json' }) },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    })
  } catch {
    throw new Error('The demo does not answer any more. Was it ended?')
  }
  const answer = await response.json().catch(() => ({}))
  if (!response.ok)
    throw new Error(`${answer.process ?? 'The demo'} answered ${response.status}: ${answer.error ?? 'no reason given'}`)
  return answer
}

Object.assign(globalThis, { $, number, counted, say, ask })
