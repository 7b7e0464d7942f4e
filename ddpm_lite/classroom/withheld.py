r"""What stands in the grader's package where an exercise asks for the name itself.

It can be imported, kept, named in annotations and inherited from: nothing of a notebook
is lost by comparing with it. It says what it is when somebody calls it. Other packages
that hold the answers cannot be imported at all.
"""

import sys
from importlib.machinery import ModuleSpec

OTHERS = """
audio_diffusion_pytorch azula classifier_free_guidance_pytorch comfy consistency_models
dalle2_pytorch ddim ddpm denoising_diffusion_pytorch diffusers diffusion
diffusion_models diffusion_pytorch dpm_solver_pytorch elucidated_diffusion flow_matching
generative glide_text2im guided_diffusion imagen_pytorch improved_diffusion k_diffusion
keras_cv keras_hub labml_nn ldm minimagen monai pytorch_diffusion rectified_flow_pytorch
score_sde score_sde_pytorch sgm smalldiffusion stable_diffusion tiny_diffusion torchcfm
video_diffusion_pytorch
""".split()


class _Withheld(type):
    def __call__(cls, *_, **__):
        raise ImportError(cls.words)

    def __getattr__(cls, name):
        raise AttributeError(f"{name}: {cls.words}" if name[:2] != "__" else name)

    def __repr__(cls):
        return f"<{cls.words}>"


def stand_in(module, name):
    r"""A class of this name that says, when called, that the module has none such here."""
    words = (
        f"the grader's copy of {module} has no {name}: this chapter's exercises ask "
        "for it, or for a part of it"
    )
    return _Withheld(name, (), {"words": words, "__module__": module})


class _Refusing:
    r"""Finds the packages of OTHERS before all other finders do, and loads none of them."""

    def find_spec(self, name, path=None, target=None):
        return ModuleSpec(name, self) if name.partition(".")[0] in OTHERS else None

    def create_module(self, spec):
        raise ImportError(
            f"{spec.name} cannot be imported while exercises are graded: it holds what "
            "they ask for",
            name=spec.name,
        )

    def exec_module(self, module):
        pass  # no module comes so far


def refuse_others():
    r"""Let no package be imported in this process that holds answers, such as diffusers."""
    sys.meta_path.insert(0, _Refusing())
