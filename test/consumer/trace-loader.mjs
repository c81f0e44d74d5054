// Writes down every module that is resolved, for the test that one subpath does not load another's client.
import { appendFileSync } from 'node:fs'

export const resolve = async (specifier, context, nextResolve) => {
  const resolved = await nextResolve(specifier, context)
  appendFileSync(process.env.TRACE_FILE, `${resolved.url}\n`)
  return resolved
}
