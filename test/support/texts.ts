/** Every text that can be reached from a value, by whatever name and however hidden; bytes in every spelling. */
export const textsIn = (value: unknown, known: Set<unknown> = new Set()): string[] => {
  if (typeof value === 'string') return [value]
  if (ArrayBuffer.isView(value)) {
    const bytes = Buffer.from(value.buffer, value.byteOffset, value.byteLength)
    return (['latin1', 'hex', 'base64', 'base64url'] as const).map((spelling) => bytes.toString(spelling))
  }
  if ((typeof value !== 'object' && typeof value !== 'function') || value === null || known.has(value)) return []
  known.add(value)
  const inside = value instanceof Map || value instanceof Set ? [...value] : []
  return [
    ...inside.flatMap((each) => textsIn(each, known)),
    ...Reflect.ownKeys(value).flatMap((key) => [
      String(key),
      ...textsIn((Object.getOwnPropertyDescriptor(value, key) as { value?: unknown }).value, known),
    ]),
  ]
}
