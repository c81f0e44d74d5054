/** A file of the repository; `path` is relative to its root, with forward slashes. */
export interface SourceFile {
  readonly path: string
  readonly text: string
}

/**
 * The code without its comments, and, if asked, without what stands in quotes; line breaks stay, so that line
 * numbers do. A scanner and not a parser: TypeScript 7 has no API for programs. It may misjudge a regular
 * expression after a `)`, which no rule here depends on.
 */
export const codeOf = (
  text: string,
  { withoutStrings = false }: { readonly withoutStrings?: boolean } = {},
): string => {
  let code = ''
  let at = 0
  const keepLineBreaks = (piece: string): string => piece.replace(/[^\n]/g, ' ')
  while (at < text.length) {
    const end = endOfToken(text, at, code)
    const piece = text.slice(at, end)
    const isComment = piece.startsWith('//') || piece.startsWith('/*')
    const isQuoted = piece.length > 1 && /^['"`/]/.test(piece) && !isComment
    // Expressions inside a template are code; losing them with the text is the price of a small scanner.
    code += isComment
      ? keepLineBreaks(piece)
      : isQuoted && withoutStrings
        ? `''${keepLineBreaks(piece.slice(2))}`
        : piece
    at = end
  }
  return code
}

const endOfToken = (text: string, at: number, before: string): number => {
  const two = text.slice(at, at + 2)
  if (two === '//') return endAt(text.indexOf('\n', at), text)
  if (two === '/*') return endAt(text.indexOf('*/', at + 2), text, 2)
  const first = text[at] ?? ''
  if (first === "'" || first === '"' || first === '`') return endOfQuote(text, at, first)
  if (first === '/' && /(^|[=(,:;!&|?{}[>\n]|\breturn)\s*$/.test(before.slice(-40))) return endOfRegExp(text, at)
  return at + 1
}

const endAt = (found: number, text: string, length = 0): number => (found === -1 ? text.length : found + length)

const endOfQuote = (text: string, start: number, quote: string): number => {
  let at = start + 1
  while (at < text.length && text[at] !== quote) at += text[at] === '\\' ? 2 : 1
  return Math.min(at + 1, text.length)
}

const endOfRegExp = (text: string, start: number): number => {
  let inClass = false
  for (let at = start + 1; at < text.length; at += 1) {
    const character = text[at]
    if (character === '\n') return start + 1
    if (character === '\\') at += 1
    else if (character === '[') inClass = true
    else if (character === ']') inClass = false
    else if (character === '/' && !inClass) return at + 1
  }
  return start + 1
}

/** What a file imports, re-exports or requires, as written: `../errors.js`, `node:net`, `pg`. */
export const importsOf = (text: string): string[] => {
  const code = codeOf(text)
  const forms = [
    /^\s*(?:import|export)\b[^'";]*?\bfrom\s*['"]([^'"]+)['"]/gm,
    /^\s*import\s*['"]([^'"]+)['"]/gm,
    /\b(?:import|require)\(\s*['"]([^'"]+)['"]/g,
  ]
  return forms.flatMap((form) => [...code.matchAll(form)].map((match) => match[1] ?? ''))
}

/** `npm install`'s name of what is imported; `undefined` for relative paths and Node's own modules. */
export const packageOf = (specifier: string): string | undefined => {
  if (specifier.startsWith('.') || specifier.startsWith('node:')) return undefined
  return specifier
    .split('/')
    .slice(0, specifier.startsWith('@') ? 2 : 1)
    .join('/')
}

/** `file:line` of everything in the text that `pattern` (global) finds. */
export const placesOf = ({ path, text }: SourceFile, pattern: RegExp): { where: string; found: string }[] =>
  [...text.matchAll(pattern)].map((match) => ({
    where: `${path}:${text.slice(0, match.index).split('\n').length}`,
    found: match[0].trim(),
  }))
