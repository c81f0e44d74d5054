/**
 * Removes the databases whose names begin with its argument from the CouchDB that NONSTICK_GUARDED_URL names, once its
 * stdin ends: when its starter says so, or is gone, in whatever way. Ends with 1 if one of them stays.
 */
const { origin, pathname, username, password } = new URL(process.env.NONSTICK_GUARDED_URL)
const [prefix] = process.argv.slice(2)
const who = `${decodeURIComponent(username)}:${decodeURIComponent(password)}`
const headers = username === '' ? {} : { authorization: `Basic ${Buffer.from(who).toString('base64')}` }

const ask = async (path, method = 'GET') => {
  const response = await fetch(`${origin}${pathname.replace(/\/+$/, '')}/${path}`, {
    method,
    headers,
    signal: AbortSignal.timeout(30_000),
  })
  const body = await response.json()
  // Gone already is gone; a cluster answers 202 for what some of its nodes have still to do.
  if (!response.ok && response.status !== 404) throw new Error(`${method}: HTTP ${response.status} ${body.error}`)
  return body
}

for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => {})
process.stdin.resume()
process.stdin.on('end', async () => {
  try {
    const names = await ask('_all_dbs')
    for (const name of names.filter((each) => each.startsWith(prefix))) await ask(encodeURIComponent(name), 'DELETE')
    process.exit(0)
  } catch (error) {
    console.error(`The databases ${prefix}… could not all be removed: ${error.cause?.code ?? error.message}`)
    process.exit(1)
  }
})
