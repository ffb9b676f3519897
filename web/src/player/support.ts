/** Why this browser can't play `mime`, as a sentence for a person, or null if it can. */
export function cannotPlay(mime: string): string | null {
  if (typeof MediaSource === 'undefined') return 'This browser has no Media Source Extensions, and so no live video.';
  if (!('requestVideoFrameCallback' in HTMLVideoElement.prototype)) {
    return 'This browser does not tell which picture it shows (requestVideoFrameCallback). A current one does.';
  }
  if (MediaSource.isTypeSupported(mime)) return null;
  const codec = /codecs="([^"]*)"/.exec(mime)?.[1] ?? mime;
  const cure = /^(hvc1|hev1)/.test(codec)
    ? 'It is H.265, which needs a browser with a hardware decoder for it. Or set the camera to H.264.'
    : 'Set the camera to H.264.';
  return `This browser can't play ${codec}. ${cure}`;
}
